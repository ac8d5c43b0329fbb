import { describe, expect, it } from "vitest";
import { diagonalOf, matrix, multiply, scaleRows } from "./matrix";
import type { Matrix } from "./matrix";
import { pivotedQr } from "./pivoted-qr";
import { applyReflectors, makeReflector } from "./reflectors";
import { distance, randomMatrix } from "./test-support";
import { axpy, dot } from "./vector";

describe("makeReflector", () => {
  it.each([
    [[3, 4]],
    [[-3, 4, 0]],
    [[0, 1, -1]],
    // (1 - norm) would cancel to nothing here
    [[1, 1e-9]],
    [[-1, 1e-9]],
  ])("sends %j to its first axis", (x) => {
    const u = Float64Array.from(x);
    const { tau, alpha } = makeReflector(u, 0, x.length);
    const image = Float64Array.from(x);
    axpy(-tau * dot(u, 0, image, 0, x.length), u, 0, image, 0, x.length);
    expect(Math.abs(alpha)).toBeCloseTo(Math.hypot(...x), 15);
    expect(Math.abs(image[0] - alpha)).toBeLessThan(1e-15 * Math.hypot(...x) * 4);
    for (const value of image.subarray(1)) expect(Math.abs(value)).toBeLessThan(1e-15);
  });

  it("is the identity where nothing is left to clear", () => {
    const u = Float64Array.of(-2, 0, 0);
    expect(makeReflector(u, 0, 3)).toEqual({ tau: 0, alpha: -2 });
    expect([...u]).toEqual([0, 0, 0]);
  });
});

function restore(columns: Matrix): { product: Matrix; order: number[]; diagonal: Float64Array } {
  const { rows: count, columns: length } = columns;
  const { reflectors, rColumns, order } = pivotedQr(columns.data.slice(), count, length);
  const product = matrix(count, length);
  for (let j = 0; j < count; j += 1) {
    product.data.set(rColumns.subarray(j * count, (j + 1) * count), j * length);
  }
  applyReflectors(product.data, count, reflectors);
  return { product, order: [...order], diagonal: diagonalOf(matrix(count, count, rColumns)) };
}

describe("pivotedQr", () => {
  it("factorises, across blocks of 32 reflectors", () => {
    const columns = randomMatrix(75, 90, 1);
    const { product, order } = restore(columns);
    order.forEach((from, to) => {
      const wanted = columns.data.subarray(from * 90, (from + 1) * 90);
      const found = product.data.subarray(to * 90, (to + 1) * 90);
      expect(distance(matrix(1, 90, found), matrix(1, 90, wanted))).toBeLessThan(1e-13);
    });
    expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 75 }, (_, i) => i));
  });

  it("takes the largest remaining column first, also once their norms have cancelled", () => {
    // Columns all but parallel: after the first step what is left of them is 1e-9 of their norm,
    // graded the other way round.
    const residue = Float64Array.from({ length: 12 }, (_, i) => 1e-9 * 2 ** i);
    const common = Float64Array.from({ length: 12 }, () => 1);
    const noise = scaleRows(randomMatrix(12, 20, 2), residue).data;
    const parallel = multiply(matrix(12, 1, common), randomMatrix(1, 20, 3)).data;
    const columns = matrix(
      12,
      20,
      parallel.map((value, i) => value + noise[i]),
    );
    const { order, diagonal } = restore(columns);
    const sizes = diagonal.map(Math.abs);
    for (let k = 2; k < 12; k += 1) expect(sizes[k]).toBeLessThanOrEqual(sizes[k - 1] * (1 + 1e-6));
    expect(order.indexOf(0)).toBeGreaterThan(8);
  });
});
