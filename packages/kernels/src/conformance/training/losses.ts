import { expect, test } from "vitest";
import { expectClose, randomTensor, soil, tensorOf } from "../expectations";
import { numericGradients } from "../finite-differences";
import { Random } from "../random";
import type { TrainingSubject } from "./subject";

const softmaxOf = (row: Float64Array): Float64Array => {
  const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
  return row.map((value) => Math.exp(value) / total);
};

export function lossTests(subject: TrainingSubject): void {
  const weights = Float32Array.of(1, 0.5, 0, 2);
  for (const columns of [1, 5, 8, 67]) {
    test(`crossEntropy of ${columns} tokens`, async () => {
      const { device } = subject;
      const logits = randomTensor(device, new Random(40), [4, columns], 5);
      const targets = Int32Array.of(0, columns - 1, -1, Math.floor(columns / 2));
      const losses = (values: Float64Array) =>
        Float64Array.from(weights, (weight, t) => {
          if (weight === 0) return 0;
          const row = values.subarray(t * columns, (t + 1) * columns);
          return -weight * Math.log(softmaxOf(row)[targets[t]!]!);
        });
      const [gradient] = numericGradients([logits.values], ([values]) =>
        losses(values!).reduce((sum, loss) => sum + loss, 0),
      );
      soil(device, [4, columns]);
      const result = device.training.crossEntropy(logits.tensor, targets, weights);
      const expected = losses(Float64Array.from(logits.values));
      await expectClose(subject, result.losses, [4, 1], expected);
      if (columns > 1) await expectClose(subject, result.gradient, [4, columns], gradient!);
    });

    test(`divergence of ${columns} tokens`, async () => {
      const { device } = subject;
      const random = new Random(41);
      const logits = randomTensor(device, random, [4, columns], 5);
      const teacher = randomTensor(device, random, [4, columns], 5);
      const temperature = 1.7;
      const losses = (values: Float64Array) =>
        Float64Array.from(weights, (weight, t) => {
          const rowOf = (all: ArrayLike<number>) =>
            Float64Array.from({ length: columns }, (_, i) => all[t * columns + i]! / temperature);
          const p = softmaxOf(rowOf(teacher.values));
          const q = softmaxOf(rowOf(values));
          const kl = p.reduce((sum, pi, i) => sum + pi * Math.log(pi / q[i]!), 0);
          return weight * temperature ** 2 * kl;
        });
      const [gradient] = numericGradients([logits.values], ([values]) =>
        losses(values!).reduce((sum, loss) => sum + loss, 0),
      );
      const result = device.training.divergence(
        logits.tensor,
        teacher.tensor,
        temperature,
        weights,
      );
      if (columns === 1) return;
      const expected = losses(Float64Array.from(logits.values));
      await expectClose(subject, result.losses, [4, 1], expected);
      await expectClose(subject, result.gradient, [4, columns], gradient!);
    });
  }

  test("a divergence from itself has no gradient at all", async () => {
    const { device } = subject;
    const { tensor } = randomTensor(device, new Random(42), [4, 35], 5);
    const { losses, gradient } = device.training.divergence(tensor, tensor, 1.7, weights);
    expect(new Set(await device.read(losses))).toEqual(new Set([0]));
    expect((await device.read(gradient)).every((x) => x === 0)).toBe(true);
  });

  test("a row of large logits, and a teacher that excludes tokens", async () => {
    const { device } = subject;
    const logits = tensorOf(device, [[1000, 999, -1000]]);
    const { losses } = device.training.crossEntropy(logits, Int32Array.of(1), Float32Array.of(1));
    await expectClose(subject, losses, [1, 1], [1 + Math.log1p(Math.exp(-1))]);
    const teacher = tensorOf(device, [[0, 0, -1e30]]);
    const even = tensorOf(device, [[0, 0, 0]]);
    const result = device.training.divergence(even, teacher, 1, Float32Array.of(1));
    await expectClose(subject, result.losses, [1, 1], [Math.log(1.5)]);
    await expectClose(subject, result.gradient, [1, 3], [1 / 3 - 0.5, 1 / 3 - 0.5, 1 / 3]);
  });
}
