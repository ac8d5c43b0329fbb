import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  add,
  blockDiagonal,
  columnSlice,
  diagonal,
  diagonalOf,
  frobeniusNorm,
  gram,
  identity,
  matrix,
  multiply,
  multiplyTransposedLeft,
  multiplyTransposedRight,
  rowSlice,
  scaleColumns,
  scaleRows,
  symmetricForm,
  trace,
  transpose,
} from "./matrix";
import type { Matrix } from "./matrix";
import { codeOf, distance, errorOf, randomMatrix } from "./test-support";

/** The definition, summed in index order. */
function plainProduct(a: Matrix, b: Matrix): Matrix {
  const out = matrix(a.rows, b.columns);
  for (let i = 0; i < a.rows; i += 1) {
    for (let j = 0; j < b.columns; j += 1) {
      let sum = 0;
      for (let k = 0; k < a.columns; k += 1) {
        sum += a.data[i * a.columns + k] * b.data[k * b.columns + j];
      }
      out.data[i * b.columns + j] = sum;
    }
  }
  return out;
}

const m = matrix(2, 3, [1, 2, 3, 4, 5, 6]);

describe("products", () => {
  it("multiplies", () => {
    const product = multiply(m, matrix(3, 2, [1, 0, 0, 1, 1, 1]));
    expect([...product.data]).toEqual([4, 5, 10, 11]);
  });

  it("equals the definition for all sizes, transposed either way", () => {
    const size = fc.integer({ min: 1, max: 21 });
    fc.assert(
      fc.property(size, size, size, fc.nat(1e6), (rows, inner, columns, seed) => {
        const a = randomMatrix(rows, inner, seed);
        const b = randomMatrix(inner, columns, seed + 1);
        const expected = plainProduct(a, b);
        for (const actual of [
          multiply(a, b),
          multiplyTransposedRight(a, transpose(b)),
          multiplyTransposedLeft(transpose(a), b),
        ]) {
          expect(distance(actual, expected)).toBeLessThan(1e-13);
        }
      }),
    );
  });

  it("crosses the limits of its blocks (64 rows, 256 steps, 512 columns)", () => {
    const a = randomMatrix(67, 259, 1);
    const b = randomMatrix(259, 517, 2);
    expect(distance(multiply(a, b), plainProduct(a, b))).toBeLessThan(1e-12);
    const wide = randomMatrix(519, 5, 3);
    expect(distance(gram(wide), plainProduct(wide, transpose(wide)))).toBeLessThan(1e-13);
  });

  it("gives w m wᵀ, exactly symmetric", () => {
    const w = randomMatrix(7, 5, 3);
    const s = gram(randomMatrix(5, 9, 4));
    const form = symmetricForm(w, s);
    expect(distance(form, multiplyTransposedRight(multiply(w, s), w))).toBeLessThan(1e-13);
    expect(form.data).toEqual(transpose(form).data);
  });

  it("refuses shapes that do not fit", () => {
    expect(codeOf(() => multiply(m, m))).toBe("ShapeMismatch");
    expect(errorOf(() => multiply(m, m)).message).toContain("2 x 3");
    expect(codeOf(() => symmetricForm(m, identity(2)))).toBe("ShapeMismatch");
    expect(codeOf(() => symmetricForm(identity(2), matrix(2, 2, [1, 2, 3, 4])))).toBe(
      "NotSymmetric",
    );
    expect(codeOf(() => add(m, transpose(m)))).toBe("ShapeMismatch");
    expect(codeOf(() => scaleRows(m, [1, 2, 3]))).toBe("ShapeMismatch");
    expect(codeOf(() => scaleColumns(m, [1, 2]))).toBe("ShapeMismatch");
    expect(codeOf(() => trace(m))).toBe("ShapeMismatch");
  });
});

describe("construction", () => {
  it("takes a Float64Array as it is and copies others", () => {
    const data = new Float64Array(4);
    expect(matrix(2, 2, data).data).toBe(data);
    expect([...matrix(1, 2, new Float32Array([1, 2])).data]).toEqual([1, 2]);
  });

  it("refuses sizes before it allocates", () => {
    for (const [rows, columns] of [
      [0, 1],
      [1, -1],
      [1.5, 2],
      [NaN, 2],
      [1e9, 1e9],
    ]) {
      expect(codeOf(() => matrix(rows, columns))).toBe("InvalidArgument");
    }
    expect(codeOf(() => matrix(2, 2, [1, 2, 3]))).toBe("ShapeMismatch");
  });

  it("transposes across its 32 x 32 blocks", () => {
    const a = randomMatrix(40, 70, 5);
    const t = transpose(a);
    expect(t.data[69 * 40 + 33]).toBe(a.data[33 * 70 + 69]);
    expect(transpose(t).data).toEqual(a.data);
  });

  it("slices, scales, and puts blocks on a diagonal", () => {
    expect([...rowSlice(m, 1).data]).toEqual([4, 5, 6]);
    expect([...columnSlice(m, 1, 3).data]).toEqual([2, 3, 5, 6]);
    expect(codeOf(() => rowSlice(m, 1, 1))).toBe("ShapeMismatch");
    expect(codeOf(() => columnSlice(m, 0, 4))).toBe("ShapeMismatch");
    expect([...scaleRows(m, [1, 10]).data]).toEqual([1, 2, 3, 40, 50, 60]);
    expect([...scaleColumns(m, [1, 0, 2]).data]).toEqual([1, 0, 6, 4, 0, 12]);
    const blocks = blockDiagonal([matrix(1, 2, [1, 2]), matrix(2, 1, [3, 4])]);
    expect([...blocks.data]).toEqual([1, 2, 0, 0, 0, 3, 0, 0, 4]);
    expect([...diagonalOf(diagonal([1, 2]))]).toEqual([1, 2]);
    expect(trace(diagonal([1, 2, 4]))).toBe(7);
    expect(frobeniusNorm(matrix(1, 2, [3e200, 4e200]))).toBeCloseTo(5e200, -190);
  });
});
