import { cpuDevice, referenceDevice } from "@transmla/kernels";
import { Moments, multiplyTransposedLeft } from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import { OuterProducts } from "./outer-products";
import { randomMatrix } from "./testing";

describe("OuterProducts", () => {
  it("sums what tokens of several batches contribute", async () => {
    const products = new OuterProducts(referenceDevice(), 2, 3);
    await products.add(Float32Array.of(1, 2, 3, 4), Float32Array.of(1, 0, 2, 0, 1, 5));
    await products.add(Float32Array.of(10, 20), Float32Array.of(1, 1, 1));
    // [1; 2] [1 0 2] + [3; 4] [0 1 5] + [10; 20] [1 1 1]
    expect([...products.sum.data]).toEqual([11, 13, 27, 22, 24, 44]);
  });

  it("is as exact as float32 over more tokens than one product takes", async () => {
    const [tokens, rows, columns] = [2500, 37, 21];
    const a = randomMatrix(tokens, rows, 1);
    const b = randomMatrix(tokens, columns, 2);
    for (const m of [a, b]) m.data.set(Float32Array.from(m.data));
    const device = await cpuDevice();
    const products = new OuterProducts(device, rows, columns);
    await products.add(Float32Array.from(a.data), Float32Array.from(b.data));
    device.destroy();
    const exact = multiplyTransposedLeft(a, b).data;
    const error = products.sum.data.map((value, at) => Math.abs(value - exact[at]));
    expect(Math.max(...error) / tokens).toBeLessThan(1e-6);
  });

  it("keeps the second moment of the others where one number of one token is a thousand times as large", async () => {
    const [tokens, width] = [1024, 24];
    const x = randomMatrix(tokens, width, 3);
    x.data[5] = 1000;
    const values = Float32Array.from(x.data);
    const device = await cpuDevice();
    const products = new OuterProducts(device, width, width);
    await products.add(values, values);
    device.destroy();
    const moments = new Moments(width);
    moments.add(values);
    const exact = moments.secondMoment().data;
    for (const [at, value] of products.sum.data.entries()) {
      const [i, j] = [Math.floor(at / width), at % width];
      const size = Math.sqrt(exact[i * (width + 1)] * exact[j * (width + 1)]);
      expect(Math.abs(value / tokens - exact[at])).toBeLessThan(1e-6 * size);
    }
  });
});
