import { cpuDevice, referenceDevice } from "@transmla/kernels";
import { columnSlice, matrix, Moments, multiplyTransposedLeft } from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import { OuterProducts } from "./outer-products";
import { randomMatrix } from "./testing";

describe("OuterProducts", () => {
  it("sums what tokens of several batches contribute", async () => {
    const products = new OuterProducts(referenceDevice(), 2, 3);
    await products.add(Float32Array.of(1, 2, 5, 3, 4, 0));
    await products.add(Float32Array.of(10, 20, 1));
    // [1; 2] [1 2 5] + [3; 4] [3 4 0] + [10; 20] [10 20 1]
    expect([...products.square.data]).toEqual([110, 214, 214, 420]);
    expect([...products.rest!.data]).toEqual([15, 30]);
  });

  it("is as exact as float32 over more tokens and rows than one product takes", async () => {
    const [tokens, rows, columns] = [1100, 700, 1600];
    const b = randomMatrix(tokens, columns, 1);
    const values = Float32Array.from(b.data);
    const device = await cpuDevice();
    const products = new OuterProducts(device, rows, columns);
    await products.add(values);
    device.destroy();
    const inputs = matrix(tokens, columns, values);
    const exact = multiplyTransposedLeft(columnSlice(inputs, 0, rows), inputs);
    for (const [part, first] of [
      [products.square, 0],
      [products.rest!, rows],
    ] as const) {
      const wanted = columnSlice(exact, first, first + part.columns).data;
      const worst = part.data.reduce(
        (most, value, at) => Math.max(most, Math.abs(value - wanted[at])),
        0,
      );
      expect(worst / tokens).toBeLessThan(1e-6);
    }
  });

  it("keeps the second moment of the others where one number of one token is a thousand times as large", async () => {
    const [tokens, width] = [1024, 24];
    const x = randomMatrix(tokens, width, 3);
    x.data[5] = 1000;
    const values = Float32Array.from(x.data);
    const device = await cpuDevice();
    const products = new OuterProducts(device, width, width);
    await products.add(values);
    device.destroy();
    const moments = new Moments(width);
    moments.add(values);
    const exact = moments.secondMoment().data;
    for (const [at, value] of products.square.data.entries()) {
      const [i, j] = [Math.floor(at / width), at % width];
      const size = Math.sqrt(exact[i * (width + 1)] * exact[j * (width + 1)]);
      expect(Math.abs(value / tokens - exact[at])).toBeLessThan(1e-6 * size);
    }
  });
});
