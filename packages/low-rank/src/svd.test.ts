import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../golden/singular.json";
import {
  add,
  columnSlice,
  frobeniusNorm,
  matrix,
  multiply,
  multiplyTransposedRight,
  scaleColumns,
  scaleRows,
  transpose,
} from "./matrix";
import type { Matrix } from "./matrix";
import { svd } from "./svd";
import { codeOf, distance, largest, orthogonality, randomMatrix, real } from "./test-support";

function checkDecomposition(m: Matrix): ReturnType<typeof svd> {
  const found = svd(m);
  const { u, values, v } = found;
  const k = Math.min(m.rows, m.columns);
  expect([u.rows, u.columns, v.rows, v.columns]).toEqual([m.rows, k, m.columns, k]);
  expect(orthogonality(u)).toBeLessThan(1e-12);
  expect(orthogonality(v)).toBeLessThan(1e-12);
  const residual = distance(multiplyTransposedRight(scaleColumns(u, values), v), m);
  expect(residual).toBeLessThanOrEqual(2e-14 * Math.max(values[0], 1e-300));
  for (let i = 1; i < k; i += 1) expect(values[i]).toBeLessThanOrEqual(values[i - 1]);
  return found;
}

describe("svd against 60-digit arithmetic", () => {
  it.each(golden)("$name", (wanted) => {
    const { values } = checkDecomposition(real(wanted.matrix));
    const errors = values.map((value, i) => value - wanted.values[i]);
    expect(largest(errors)).toBeLessThanOrEqual(1e-14 * wanted.values[0]);
    if (wanted.relative) {
      expect(largest(errors.map((error, i) => error / wanted.values[i]))).toBeLessThan(1e-13);
    }
  });
});

/** 1 … 1e-300 */
function steep(n: number): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => 10 ** ((-300 * i) / n));
}

describe("svd", () => {
  it("reconstructs any shape, and its transpose has the same values (property)", () => {
    const size = fc.integer({ min: 1, max: 42 });
    fc.assert(
      fc.property(size, size, fc.nat(1e6), (rows, columns, seed) => {
        const m = randomMatrix(rows, columns, seed);
        const { values } = checkDecomposition(m);
        const turned = checkDecomposition(transpose(m));
        expect(largest(turned.values.map((x, i) => x - values[i]))).toBeLessThan(1e-14 * values[0]);
      }),
      { numRuns: 40 },
    );
  });

  it("completes orthonormal bases for rank-deficient input (property)", () => {
    const size = fc.integer({ min: 1, max: 38 });
    fc.assert(
      fc.property(size, size, fc.nat(1e6), (rows, columns, seed) => {
        const rank = 1 + (seed % Math.min(rows, columns));
        const m = multiply(randomMatrix(rows, rank, seed), randomMatrix(rank, columns, seed + 1));
        const { values } = checkDecomposition(m);
        for (const value of values.subarray(rank)) expect(value).toBeLessThan(1e-13 * values[0]);
        // exactly zero columns
        checkDecomposition(
          scaleColumns(
            m,
            Array.from({ length: columns }, (_, i) => i % 3),
          ),
        );
      }),
      { numRuns: 40 },
    );
    checkDecomposition(matrix(40, 40));
  });

  it("is not stretched by thousands of rounded rotations", () => {
    const q = svd(randomMatrix(160, 150, 3)).u;
    const wanted = Float64Array.from({ length: 150 }, (_, i) => 10 ** (-14 * (i / 149)));
    const { values, v } = checkDecomposition(scaleColumns(q, wanted));
    expect(largest(values.map((value, i) => value / wanted[i] - 1))).toBeLessThan(8e-15);
    expect(orthogonality(v)).toBeLessThan(1e-14);
  });

  it("keeps columns that are graded over 28 decades, each to its own digits", () => {
    // Orthogonal columns q_i d_i: the singular values are the d_i.
    const q = svd(randomMatrix(60, 50, 3)).u;
    const wanted = Float64Array.from({ length: 50 }, (_, i) => 10 ** (-28 * (i / 49)));
    const { values } = checkDecomposition(scaleColumns(q, wanted));
    expect(largest(values.map((value, i) => value / wanted[i] - 1))).toBeLessThan(1e-13);
    const rows = checkDecomposition(scaleRows(transpose(q), wanted));
    expect(largest(rows.values.map((value, i) => value / wanted[i] - 1))).toBeLessThan(1e-13);
  });

  it("is optimal: no other factors of rank 3 come nearer (Eckart and Young, property)", () => {
    const m = randomMatrix(9, 7, 4);
    const { u, values, v } = svd(m);
    const error = (left: Matrix, right: Matrix) =>
      frobeniusNorm(add(multiplyTransposedRight(left, right), m, -1)) ** 2;
    const bestLeft = columnSlice(scaleColumns(u, values), 0, 3);
    const bestRight = columnSlice(v, 0, 3);
    const best = error(bestLeft, bestRight);
    const rest = values.subarray(3).reduce((sum, value) => sum + value ** 2, 0);
    expect(best).toBeCloseTo(rest, 12);
    fc.assert(
      fc.property(fc.nat(1e6), fc.double({ min: 1e-6, max: 1, noNaN: true }), (seed, size) => {
        const left = add(bestLeft, randomMatrix(9, 3, seed), size);
        const right = add(bestRight, randomMatrix(7, 3, seed + 1), size);
        expect(error(left, right)).toBeGreaterThanOrEqual(best - 1e-12);
      }),
    );
  });

  it("calls zero what is too small to square", () => {
    for (const columns of [12, 60]) {
      const m = scaleColumns(randomMatrix(68, columns, 7), steep(columns));
      const { values } = checkDecomposition(m);
      expect(values.at(-1)).toBe(0);
      checkDecomposition(scaleRows(transpose(m), steep(columns)));
    }
  });

  it("scales without overflow or underflow", () => {
    const m = randomMatrix(36, 34, 6);
    const { values } = svd(m);
    for (const factor of [2 ** 1000, 2 ** -900]) {
      const scaled = svd(
        matrix(
          36,
          34,
          m.data.map((x) => x * factor),
        ),
      );
      expect(largest(scaled.values.map((x, i) => x / factor / values[i] - 1))).toBe(0);
    }
  });

  it("refuses NaN and infinity", () => {
    expect(codeOf(() => svd(matrix(1, 2, [1, NaN])))).toBe("NonFinite");
    expect(codeOf(() => svd(matrix(1, 2, [Infinity, 0])))).toBe("NonFinite");
  });
});
