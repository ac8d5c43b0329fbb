import { expect, test } from "vitest";
import type { Device, Tensor } from "../device";
import { expectClose, tensorOf, type Subject } from "./expectations";
import { expertsOf } from "./experts";
import { geluTanh, silu } from "./pointwise";

/** Numbers at the edge of float32: right, or not a number where there is no right one, and never quietly something else. */
export function extremeTests(subject: Subject): void {
  test("the norm of zeros is zero, of tiny and of huge rows what the formula says", async () => {
    const { device } = subject;
    const weight = tensorOf(device, [[1, 2, -1, 0.5]]);
    const norm = async (row: readonly number[], epsilon: number) =>
      Array.from(await device.read(device.rmsNorm(tensorOf(device, [row]), weight, epsilon)));
    expect((await norm([0, 0, 0, 0], 1e-6)).map(Math.abs)).toEqual([0, 0, 0, 0]);
    for (const factor of [1e-30, 1e-12, 1, 1e12, 1e18]) {
      const row = [3, -1, 2, 1].map((value) => Math.fround(value * factor));
      const square = row.reduce((sum, value) => sum + value * value, 0) / 4;
      const expected = row.map((v, i) => (v * [1, 2, -1, 0.5][i]!) / Math.sqrt(square + 1e-6));
      const tensor = device.rmsNorm(tensorOf(device, [row]), weight, 1e-6);
      await expectClose(subject, tensor, [1, 4], expected);
    }
  });

  test("gates far out are shut or open", async () => {
    const { device } = subject;
    const gates = [-1e30, -200, -80, 0, 80, 1e30];
    const gate = tensorOf(device, [gates]);
    const up = tensorOf(device, [[3, 3, 3, 3, 3, 1]]);
    for (const [name, activation] of [
      ["silu", silu],
      ["gelu-tanh", geluTanh],
    ] as const) {
      const actual = await device.read(device.gatedActivation(gate, up, name));
      gates.forEach((value, i) => {
        const expected =
          value < -50 ? 0 : value > 50 ? value * (i === 5 ? 1 : 3) : 3 * activation(value);
        expect(Math.abs(actual[i]! - expected), `${name} of ${value}`).toBeLessThanOrEqual(
          subject.tolerance * Math.max(Math.abs(expected), 1e-20),
        );
      });
    }
  });

  test("a cap holds whatever it is given", async () => {
    const { device } = subject;
    const x = tensorOf(device, [[-3e38, -1e10, 0, 1e-30, 1e10, 3e38]]);
    await expectClose(subject, device.softCap(x, 30), [1, 6], [-30, -30, 0, 1e-30, 30, 30]);
  });

  for (const [title, attention] of [
    ["grouped", groupedOf],
    ["latent", latentOf],
  ] as const) {
    test(`${title} attention: scores far apart choose one, equal scores take the mean`, async () => {
      const { device } = subject;
      const values = [
        [1, 2],
        [3, -4],
        [5, 0],
      ];
      // Scores 0, 1e30 and -1e30: without the largest taken away their exponentials would be infinite.
      for (const [scores, expected] of [
        [
          [0, 1e30, -1e30],
          [3, -4],
        ],
        [
          [-1e30, -1e30, 5e4],
          [5, 0],
        ],
        [
          [-1e4, -1e4, -1e4],
          [3, -2 / 3],
        ],
        [
          [1e-40, 0, -1e-40],
          [3, -2 / 3],
        ],
        [
          [0, 0, 0],
          [3, -2 / 3],
        ],
      ] as const) {
        await expectClose(subject, attention(device, scores, values), [1, 2], expected);
      }
    });
  }

  test("a router that is sure, and experts that nobody chooses", async () => {
    const { device } = subject;
    const experts = expertsOf(device, [1, 2, 3]);
    const y = device.mixtureOfExperts({
      x: tensorOf(device, [[1], [1]]),
      routerLogits: tensorOf(device, [
        [1e30, -1e30, 0],
        [1e30, -1e30, 0],
      ]),
      experts,
      topK: 2,
      activation: "silu",
    });
    await expectClose(subject, y, [2, 1], [silu(1), silu(1)]);
  });

  test("a sum beyond float32 is infinite, and what is not a number stays that", async () => {
    const { device } = subject;
    const sum = device.add(
      tensorOf(device, [[3e38, -3e38, 1]]),
      tensorOf(device, [[3e38, -3e38, 2]]),
    );
    expect([...(await device.read(sum))]).toEqual([Infinity, -Infinity, 3]);
    const broken = device.add(tensorOf(device, [[Number.NaN, 1]]), tensorOf(device, [[1, 1]]));
    expect([...(await device.read(broken))]).toEqual([Number.NaN, 2]);
  });
}

/** One head of width 1 whose keys are the scores. */
function groupedOf(
  device: Device,
  scores: readonly number[],
  values: readonly (readonly number[])[],
): Tensor {
  return device.groupedAttention({
    query: tensorOf(device, [[1]]),
    keys: pool(
      device,
      scores.map((score) => [score]),
    ),
    values: pool(device, values),
    kvHeads: 1,
    ...common(scores.length),
  });
}

/** One head whose rotated keys are the scores, and whose latents are the values. */
function latentOf(
  device: Device,
  scores: readonly number[],
  values: readonly (readonly number[])[],
): Tensor {
  return device.latentAttention({
    queryRope: tensorOf(device, [[1, 0]]),
    latents: pool(device, values),
    ropeKeys: pool(
      device,
      scores.map((score) => [score, 0]),
    ),
    ...common(scores.length),
  });
}

const common = (length: number) => ({
  heads: 1,
  scale: 1,
  sequences: [{ queryStart: 0, queryCount: 1, length, pages: Int32Array.of(0) }],
});

function pool(device: Device, rows: readonly (readonly number[])[]) {
  const plane = device.pagePool({ pages: 1, pageTokens: rows.length, width: rows[0]!.length });
  device.writePages(
    plane,
    tensorOf(device, rows),
    Int32Array.from(rows, (_, slot) => slot),
  );
  return plane;
}
