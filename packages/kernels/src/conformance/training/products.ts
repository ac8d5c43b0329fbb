import { expect, test } from "vitest";
import { expectClose, randomTensor, soil, tensorOf } from "../expectations";
import { Random } from "../random";
import type { TrainingSubject } from "./subject";

export function productTests(subject: TrainingSubject): void {
  const sizes = [
    [1, 1, 1],
    [3, 5, 7],
    [64, 8, 4],
    [130, 17, 33],
    [5, 3, 700],
    [9, 40, 20],
    [200, 70, 96],
  ] as const;
  for (const form of ["ab", "abT", "aTb"] as const) {
    test(`product ${form}: new, and added to what is there`, async () => {
      const { device } = subject;
      const random = new Random(20);
      for (const [rows, columns, depth] of sizes) {
        const a = randomTensor(device, random, form === "aTb" ? [depth, rows] : [rows, depth]);
        const b = randomTensor(
          device,
          random,
          form === "abT" ? [columns, depth] : [depth, columns],
        );
        const expected = new Float64Array(rows * columns);
        for (let r = 0; r < rows; r++) {
          for (let c = 0; c < columns; c++) {
            for (let k = 0; k < depth; k++) {
              const left = a.values[form === "aTb" ? k * rows + r : r * depth + k]!;
              const right = b.values[form === "abT" ? c * depth + k : k * columns + c]!;
              expected[r * columns + c]! += left * right;
            }
          }
        }
        soil(device, [rows, columns]);
        const y = device.training.product(form, a.tensor, b.tensor);
        await expectClose(subject, y, [rows, columns], expected);
        const to = randomTensor(device, random, [rows, columns]);
        const sum = device.training.product(form, a.tensor, b.tensor, to.tensor);
        expect(sum).toBe(to.tensor);
        await expectClose(
          subject,
          sum,
          [rows, columns],
          expected.map((value, i) => value + to.values[i]!),
        );
      }
    });
  }

  test("zeros, addScaled, fill, addRows, columnSums, sumOfSquares: known answers", async () => {
    const { device } = subject;
    const { training } = device;
    const x = tensorOf(device, [
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const to = tensorOf(device, [
      [1, 0, 0],
      [0, 1, 0],
    ]);
    soil(device, [3, 1000]);
    await expectClose(subject, training.zeros([3, 1000]), [3, 1000], new Float32Array(3000));
    training.addScaled(to, x, -2);
    await expectClose(subject, to, [2, 3], [-1, -4, -6, -8, -9, -12]);
    training.addScaled(to, to, 0.5);
    await expectClose(subject, to, [2, 3], [-1.5, -6, -9, -12, -13.5, -18]);
    training.fill(to, 0.5);
    await expectClose(subject, to, [2, 3], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    // Both rows of x go to one row.
    training.addRows(to, Int32Array.of(1, 1), x, 2);
    await expectClose(subject, to, [2, 3], [0.5, 0.5, 0.5, 10.5, 14.5, 18.5]);
    await expectClose(subject, training.columnSums(x), [1, 3], [5, 7, 9]);
    await expectClose(subject, training.sumOfSquares(x), [1, 1], [91]);
  });

  test("sums of many numbers", async () => {
    const { device } = subject;
    const x = randomTensor(device, new Random(21), [300, 333]);
    const columns = new Float64Array(333);
    x.values.forEach((value, i) => (columns[i % 333]! += value));
    await expectClose(subject, device.training.columnSums(x.tensor), [1, 333], columns);
    const squares = x.values.reduce((sum, value) => sum + value ** 2, 0);
    await expectClose(subject, device.training.sumOfSquares(x.tensor), [1, 1], [squares]);
  });

  test("roundToBf16: to the nearest, of two to the even one", async () => {
    const { device } = subject;
    // Steps of bfloat16 at 1 are 1/128.
    const values = [1, 1 + 1 / 256, 1 + 3 / 256, 1 + 1.01 / 256, -1 - 3 / 256, 0, -0, 3e38];
    const rounded = [1, 1, 1 + 1 / 64, 1 + 1 / 128, -1 - 1 / 64, 0, 0, 3.0042023e38];
    const y = await device.read(device.training.roundToBf16(tensorOf(device, [values])));
    expect(y.length).toBe(values.length);
    rounded.forEach((value, i) => {
      expect(Math.abs(y[i]! - value), `${values[i]}`).toBeLessThanOrEqual(1e-4 * Math.abs(value));
    });
    const bits = new Uint32Array(y.buffer, y.byteOffset, y.length);
    expect([...bits].every((word) => (word & 0xffff) === 0)).toBe(true);
  });
}
