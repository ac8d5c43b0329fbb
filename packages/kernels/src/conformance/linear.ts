import { expect, test } from "vitest";
import type { WeightStorage } from "../device";
import { blockNumbers, weightStorages } from "../storage";
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
  [6, 700, 24],
  [1, 300, 65],
  [2, 300, 17],
  [3, 577, 24],
  [17, 64, 65],
  [33, 288, 12],
  [70, 65, 33],
  [67, 300, 40],
  [131, 290, 20],
] as const;

/** `columns`, or the next number that blocks of the storage divide. */
const fitted = (columns: number, storage: WeightStorage): number =>
  Math.ceil(columns / blockNumbers(storage)) * blockNumbers(storage);

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

  for (const storage of weightStorages) {
    test(`linear: random sizes, ${storage}`, async () => {
      const random = new Random(1);
      for (const [tokens, width, outputs] of sizes) {
        const inputs = fitted(width, storage);
        const size = [tokens, inputs, outputs] as const;
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

    test(`embedding: rows of a table, times a factor, ${storage}`, async () => {
      const random = new Random(2);
      for (const [rows, width] of [
        [1, 1],
        [7, 3],
        [33, 65],
        [65, 17],
      ] as const) {
        const columns = fitted(width, storage);
        const { weight, values } = randomWeight(subject.device, random, [rows, columns], storage);
        const ids = random.indices(9, rows);
        ids[0] = rows - 1;
        const expected = Array.from(ids, (id) => [
          ...values.subarray(id * columns, (id + 1) * columns),
        ]);
        const result = subject.device.embedding(weight, ids);
        await expectClose(subject, result, [9, columns], expected.flat());
        const scaled = subject.device.embedding(weight, ids, -5.5);
        const factored = expected.flat().map((value) => -5.5 * value);
        await expectClose(subject, scaled, [9, columns], factored);
      }
    });

    test(`embedding and linear share one ${storage} weight`, async () => {
      const { device } = subject;
      const random = new Random(3);
      const width = fitted(12, storage);
      const { weight, values } = randomWeight(device, random, [19, width], storage);
      const rows = device.embedding(weight, Int32Array.of(18, 0));
      const x = Float32Array.of(...values.subarray(18 * width), ...values.subarray(0, width));
      const expected = product(x, values, [2, width, 19]);
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

  test("one row of quantised weights can be rewritten", async () => {
    const { device } = subject;
    const random = new Random(6);
    for (const storage of weightStorages) {
      const width = fitted(40, storage);
      const { weight, values } = randomWeight(device, random, [11, width], storage);
      const row = random.stored([1, width], storage);
      device.writeRows(weight, 9, row.bytes);
      values.set(row.values, 9 * width);
      const ids = Int32Array.from({ length: 11 }, (_, i) => i);
      await expectClose(subject, device.embedding(weight, ids), [11, width], values);
    }
  });

  test("extreme inputs: zero, tiny, huge and not a number", async () => {
    const { device } = subject;
    for (const storage of weightStorages) {
      const width = fitted(64, storage);
      const { weight, values } = randomWeight(device, new Random(7), [9, width], storage);
      for (const factor of [0, 1e-35, 1e-25, 1e30]) {
        const x = new Random(8).floats(width, factor);
        const y = await device.read(device.linear(device.tensor(x, [1, width]), weight));
        const expected = product(x, values, [1, width, 9]);
        const largest = Math.max(1e-37, ...expected.map(Math.abs));
        expected.forEach((value, i) => {
          expect(Math.abs(y[i]! - value)).toBeLessThan(factor < 1e-30 ? 1e-28 : 1e-4 * largest);
        });
      }
      const x = new Float32Array(width).fill(1);
      x[width - 1] = NaN;
      const y = await device.read(device.linear(device.tensor(x, [1, width]), weight));
      expect([...y]).toEqual(Array.from({ length: 9 }, () => NaN));
    }
  });

  test("bytes of rows may start at an odd offset of their buffer", async () => {
    const { device } = subject;
    const { bytes, values } = new Random(4).stored([2, 3], "bf16");
    const buffer = new Uint8Array(bytes.length + 1);
    buffer.set(bytes, 1);
    const weight = device.weight([2, 3], "bf16");
    device.writeRows(weight, 0, buffer.subarray(1));
    await expectClose(subject, device.embedding(weight, Int32Array.of(0, 1)), [2, 3], values);
  });
}
