import { test } from "vitest";
import type { Device, Expert } from "../device";
import {
  expectClose,
  randomTensor,
  randomWeight,
  tensorOf,
  weightOf,
  type Subject,
} from "./expectations";
import { product } from "./linear";
import { geluTanh, silu } from "./pointwise";
import { Random } from "./random";

/** Experts that return `factor * silu(x) * x`. */
export function expertsOf(device: Device, factors: readonly number[]): Expert[] {
  return factors.map((factor) => ({
    gate: weightOf(device, [[1]]),
    up: weightOf(device, [[1]]),
    down: weightOf(device, [[factor]]),
  }));
}

export function expertTests(subject: Subject): void {
  test("known answer, with a tie at the border of topK", async () => {
    const { device } = subject;
    // Expert e returns (e + 1) * silu(x) * x.
    const experts = expertsOf(device, [1, 2, 3]);
    const y = device.mixtureOfExperts({
      x: tensorOf(device, [[1], [1], [2]]),
      routerLogits: tensorOf(device, [
        [0, 0, 0],
        [0, Math.log(3), 0],
        [-1000, 7, 1000],
      ]),
      experts,
      topK: 2,
      activation: "silu",
    });
    // Row 0: experts 0 and 1, half each. Row 1: 1 (3/4) and 0 (1/4). Row 2: expert 2 alone.
    const expected = [1.5 * silu(1), 1.75 * silu(1), 3 * silu(2) * 2];
    await expectClose(subject, y, [3, 1], expected);
  });

  test("scores, groups and shares of another routing", async () => {
    const { device } = subject;
    const experts = expertsOf(device, [1, 2, 3, 4]);
    const logit = (p: number) => Math.log(p / (1 - p));
    const y = device.mixtureOfExperts({
      x: tensorOf(device, [[1], [2]]),
      routerLogits: tensorOf(device, [
        [0.9, 0.1, 0.6, 0.5].map(logit),
        [0.2, 0.8, 0.9, 0.3].map(logit),
      ]),
      experts,
      topK: 2,
      activation: "silu",
      routing: {
        scores: "sigmoid",
        bias: Float32Array.of(0, 0, 0, 0.3),
        groups: 2,
        topGroups: 1,
        bestOfGroup: 2,
        normalise: true,
        scale: 1.1,
      },
    });
    // Both tokens take the second group (1.4 against 1.0; 1.5 against 1.0), weighed by the scores without the bias.
    const expected = [
      (0.6 * 3 + 0.5 * 4) * silu(1),
      ((1.1 * (0.9 * 3 + 0.3 * 4)) / 1.2) * silu(2) * 2,
    ];
    await expectClose(subject, y, [2, 1], expected);
  });

  for (const [tokens, hidden, ff, count, topK, activation] of [
    [1, 5, 3, 1, 1, "silu"],
    [1, 16, 24, 4, 2, "gelu-tanh"],
    [17, 33, 17, 3, 3, "silu"],
    [33, 12, 20, 8, 2, "silu"],
    [3, 64, 40, 16, 1, "gelu-tanh"],
  ] as const) {
    test(`${tokens} tokens, ${topK} of ${count} experts, ${activation}`, async () => {
      const { device } = subject;
      const random = new Random(400 + tokens);
      const x = randomTensor(device, random, [tokens, hidden]);
      const router = randomTensor(device, random, [tokens, count], 3);
      const weights = Array.from({ length: count }, () => ({
        gate: randomWeight(device, random, [ff, hidden], "bf16"),
        up: randomWeight(device, random, [ff, hidden], "bf16"),
        down: randomWeight(device, random, [hidden, ff]),
      }));
      const formula = activation === "silu" ? silu : geluTanh;
      const expected = new Float64Array(tokens * hidden);
      for (let t = 0; t < tokens; t++) {
        const logits = [...router.values.subarray(t * count, (t + 1) * count)];
        const chosen = logits
          .map((_, e) => e)
          .toSorted((a, b) => logits[b]! - logits[a]!)
          .slice(0, topK);
        const total = chosen.reduce((sum, e) => sum + Math.exp(logits[e]!), 0);
        const row = x.values.subarray(t * hidden, (t + 1) * hidden);
        for (const e of chosen) {
          const { gate, up, down } = weights[e]!;
          const u = product(row, up.values, [1, hidden, ff]);
          const inner = product(row, gate.values, [1, hidden, ff]).map(
            (g, i) => formula(g) * u[i]!,
          );
          product(inner, down.values, [1, ff, hidden]).forEach((value, i) => {
            expected[t * hidden + i]! += (Math.exp(logits[e]!) / total) * value;
          });
        }
      }
      const y = device.mixtureOfExperts({
        x: x.tensor,
        routerLogits: router.tensor,
        experts: weights.map(({ gate, up, down }) => ({
          gate: gate.weight,
          up: up.weight,
          down: down.weight,
        })),
        topK,
        activation,
      });
      await expectClose(subject, y, [tokens, hidden], expected);
    });
  }
}
