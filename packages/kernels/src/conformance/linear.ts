import { test } from "vitest";
import type { WeightStorage } from "../device";
import {
  expectClose,
  randomTensor,
  randomWeight,
  tensorOf,
  weightOf,
  type Subject,
} from "./expectations";
import { Random } from "./random";

/** tokens, inputs, outputs: single numbers, odd sizes, borders of any plausible tile or block. */
const sizes = [
  [1, 1, 1],
  [1, 3, 7],
  [2, 17, 8],
  [3, 4, 33],
  [4, 33, 9],
  [5, 65, 16],
  [1, 300, 65],
  [2, 300, 17],
  [3, 577, 24],
  [17, 64, 65],
  [33, 288, 12],
  [70, 65, 33],
  [67, 300, 40],
  [131, 290, 20],
] as const;

const storages: readonly WeightStorage[] = ["f32", "f16", "bf16"];

/** `x W^T` in float64. */
export function product(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  [tokens, inputs, outputs]: readonly [number, number, number],
): Float64Array {
  const y = new Float64Array(tokens * outputs);
  for (let t = 0; t < tokens; t++) {
    for (let o = 0; o < outputs; o++) {
      for (let i = 0; i < inputs; i++) {
        y[t * outputs + o]! += x[t * inputs + i]! * weight[o * inputs + i]!;
      }
    }
  }
  return y;
}

export function linearTests(subject: Subject): void {
  test("linear: known answer", async () => {
    const { device } = subject;
    const x = tensorOf(device, [
      [1, 2, 3],
      [-1, 0, 2],
    ]);
    const weight = weightOf(device, [
      [1, 0, 0],
      [1, 1, 1],
    ]);
    const bias = tensorOf(device, [[10, 20]]);
    await expectClose(subject, device.linear(x, weight), [2, 2], [1, 6, -1, 1]);
    await expectClose(subject, device.linear(x, weight, bias), [2, 2], [11, 26, 9, 21]);
  });

  for (const storage of storages) {
    test(`linear: random sizes, ${storage}`, async () => {
      const random = new Random(1);
      for (const size of sizes) {
        const [tokens, inputs, outputs] = size;
        const { device } = subject;
        const x = randomTensor(device, random, [tokens, inputs]);
        const w = randomWeight(device, random, [outputs, inputs], storage);
        const b = randomTensor(device, random, [1, outputs]);
        const expected = product(x.values, w.values, size);
        const shape = [tokens, outputs] as const;
        await expectClose(subject, device.linear(x.tensor, w.weight), shape, expected);
        const shifted = expected.map((value, i) => value + b.values[i % outputs]!);
        await expectClose(subject, device.linear(x.tensor, w.weight, b.tensor), shape, shifted);
        for (const resource of [x.tensor, w.weight, b.tensor]) device.release(resource);
      }
    });

    test(`embedding: rows of a table, ${storage}`, async () => {
      const random = new Random(2);
      for (const [rows, columns] of [
        [1, 1],
        [7, 3],
        [33, 65],
        [65, 17],
      ] as const) {
        const { weight, values } = randomWeight(subject.device, random, [rows, columns], storage);
        const ids = random.indices(9, rows);
        ids[0] = rows - 1;
        const expected = Array.from(ids, (id) => [
          ...values.subarray(id * columns, (id + 1) * columns),
        ]);
        const result = subject.device.embedding(weight, ids);
        await expectClose(subject, result, [9, columns], expected.flat());
      }
    });

    test(`embedding and linear share one ${storage} weight`, async () => {
      const { device } = subject;
      const random = new Random(3);
      const { weight, values } = randomWeight(device, random, [19, 12], storage);
      const rows = device.embedding(weight, Int32Array.of(18, 0));
      const x = Float32Array.of(...values.subarray(18 * 12), ...values.subarray(0, 12));
      const expected = product(x, values, [2, 12, 19]);
      await expectClose(subject, device.linear(rows, weight), [2, 19], expected);
    });
  }

  test("rows of a weight can be rewritten after use", async () => {
    const { device } = subject;
    const weight = weightOf(device, [
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    const x = tensorOf(device, [[1, 1]]);
    await expectClose(subject, device.linear(x, weight), [1, 3], [3, 7, 11]);
    device.writeRows(weight, 1, new Uint8Array(Float32Array.of(30, 40).buffer));
    await expectClose(subject, device.linear(x, weight), [1, 3], [3, 70, 11]);
  });

  test("bytes of rows may start at an odd offset of their buffer", async () => {
    const { device } = subject;
    const { bytes, values } = new Random(4).stored(6, "bf16");
    const buffer = new Uint8Array(bytes.length + 1);
    buffer.set(bytes, 1);
    const weight = device.weight([2, 3], "bf16");
    device.writeRows(weight, 0, buffer.subarray(1));
    await expectClose(subject, device.embedding(weight, Int32Array.of(0, 1)), [2, 3], values);
  });
}
