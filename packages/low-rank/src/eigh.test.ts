import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../golden/symmetric.json";
import { eigh, leadingEigen } from "./eigh";
import {
  add,
  columnSlice,
  diagonal,
  frobeniusNorm,
  identity,
  matrix,
  multiply,
  multiplyTransposedLeft,
  multiplyTransposedRight,
  scaleColumns,
  transpose,
} from "./matrix";
import type { Matrix } from "./matrix";
import {
  codeOf,
  distance,
  errorOf,
  largest,
  orthogonality,
  randomMatrix,
  real,
} from "./test-support";

function checkDecomposition(m: Matrix): ReturnType<typeof eigh> {
  const found = eigh(m);
  const { values, vectors } = found;
  const norm = Math.max(...values.map(Math.abs), 1e-300);
  expect(orthogonality(vectors)).toBeLessThan(1e-12);
  const residual = distance(multiply(m, vectors), scaleColumns(vectors, values));
  expect(residual).toBeLessThanOrEqual(1e-13 * norm);
  for (let i = 1; i < values.length; i += 1) expect(values[i]).toBeLessThanOrEqual(values[i - 1]);
  return found;
}

function symmetric(n: number, seed: number): Matrix {
  const m = randomMatrix(n, n, seed);
  return add(m, transpose(m));
}

describe("eigh against LAPACK", () => {
  it.each(golden)("$name", (wanted) => {
    const m = real(wanted.matrix);
    const { values, vectors } = checkDecomposition(m);
    const norm = largest(Float64Array.from(wanted.values));
    const error = largest(values.map((value, i) => value - wanted.values[i]));
    expect(error).toBeLessThanOrEqual(1e-13 * norm);
    if (!wanted.subspace) return;
    // Cosines of the angles between both subspaces: all 1 when |UᵀV|² sums to the dimension.
    const subspace = real(wanted.subspace);
    const leading = columnSlice(vectors, 0, subspace.columns);
    const cosines = frobeniusNorm(multiplyTransposedLeft(subspace, leading)) ** 2;
    expect(Math.abs(cosines - subspace.columns)).toBeLessThan(1e-11);
  });
});

describe("eigh", () => {
  it("decomposes sizes around the divide-and-conquer leaf, and larger", () => {
    for (const n of [2, 3, 31, 32, 33, 34, 63, 64, 65, 97, 130, 200, 300])
      checkDecomposition(symmetric(n, n));
  });

  it("decomposes matrices whose halves hardly meet", () => {
    // Everything deflates, nothing does, and in between.
    for (const link of [0, 1e-300, 1e-17, 1e-9, 1, 1e9]) {
      const n = 100;
      const m = matrix(n, n);
      for (let i = 0; i < n; i += 1) {
        m.data[i * n + i] = 1 + (i % 3);
        if (i + 1 < n) {
          m.data[i * n + i + 1] = link;
          m.data[(i + 1) * n + i] = link;
        }
      }
      checkDecomposition(m);
    }
  });

  it("knows the second difference matrix: 2 - 2 cos(k pi / (n + 1))", () => {
    const n = 150;
    const m = add(diagonal(new Float64Array(n).fill(2)), matrix(n, n));
    for (let i = 0; i + 1 < n; i += 1) {
      m.data[i * n + i + 1] = -1;
      m.data[(i + 1) * n + i] = -1;
    }
    const { values } = checkDecomposition(m);
    const errors = values.map(
      (value, i) => value - (2 - 2 * Math.cos(((n - i) * Math.PI) / (n + 1))),
    );
    expect(largest(errors)).toBeLessThan(4e-14);
  });

  it("handles clusters larger than a leaf", () => {
    const q = eigh(symmetric(120, 5)).vectors;
    const wanted = Float64Array.from({ length: 120 }, (_, i) => (i < 50 ? 2 : i < 90 ? 1 : 0));
    const m = multiplyTransposedRight(scaleColumns(q, wanted), q);
    const { values } = checkDecomposition(m);
    expect(largest(values.map((value, i) => value - wanted[i]))).toBeLessThan(2e-13);
    checkDecomposition(identity(90));
    checkDecomposition(matrix(90, 90, new Float64Array(8100).fill(1)));
  });

  it("reconstructs, and turns with its input (property)", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 45 }), fc.nat(1e6), (n, seed) => {
        const m = symmetric(n, seed);
        const { values, vectors } = checkDecomposition(m);
        const back = multiplyTransposedRight(scaleColumns(vectors, values), vectors);
        const norm = largest(values);
        expect(distance(back, m)).toBeLessThan(1e-13 * norm);
        const q = eigh(symmetric(n, seed + 1)).vectors;
        const turned = multiplyTransposedRight(multiply(q, m), q);
        expect(largest(eigh(turned).values.map((x, i) => x - values[i]))).toBeLessThan(
          1e-13 * norm,
        );
      }),
      { numRuns: 40 },
    );
  });

  it("scales without overflow or underflow", () => {
    const m = symmetric(40, 3);
    const { values } = eigh(m);
    for (const factor of [2 ** 1000, 2 ** -1000]) {
      const scaled = eigh(
        matrix(
          40,
          40,
          m.data.map((x) => x * factor),
        ),
      );
      expect(largest(scaled.values.map((x, i) => x / factor - values[i]))).toBe(0);
    }
  });

  it("gives each vector a positive leading component, and the same bits again", () => {
    const m = symmetric(50, 4);
    const first = eigh(m);
    for (let j = 0; j < 50; j += 1) {
      const column = Float64Array.from({ length: 50 }, (_, i) => first.vectors.data[i * 50 + j]);
      const lead = column.find((x) => Math.abs(x) >= largest(column) * (1 - 1e-6));
      expect(lead).toBeGreaterThan(0);
    }
    expect(eigh(m).vectors.data).toEqual(first.vectors.data);
  });

  it("refuses what is not a finite symmetric matrix", () => {
    expect(codeOf(() => eigh(matrix(2, 3)))).toBe("ShapeMismatch");
    expect(errorOf(() => eigh(matrix(2, 2, [1, 2, 3, 1])))).toMatchObject({
      code: "NotSymmetric",
      context: { row: 1, column: 0 },
    });
    expect(errorOf(() => eigh(matrix(2, 2, [1, 0, NaN, 1])))).toMatchObject({
      code: "NonFinite",
      context: { row: 1, column: 0 },
    });
    // float32-sized asymmetry is taken as rounding
    expect(eigh(matrix(2, 2, [1, 0.5, 0.5 + 1e-8, 1])).values[0]).toBeCloseTo(1.5, 7);
  });
});

describe("leadingEigen", () => {
  it("gives the columns of eigh that it was asked for, and all values", () => {
    for (const n of [1, 20, 32, 33, 90, 200]) {
      const m = symmetric(n, n);
      const all = eigh(m);
      for (const rank of [1, Math.ceil(n / 3), n]) {
        const { values, vectors } = leadingEigen(m, rank);
        expect(values).toEqual(all.values);
        expect(distance(vectors, columnSlice(all.vectors, 0, rank))).toBeLessThan(1e-12);
      }
    }
  });

  it("takes them from repeated eigenvalues, of which most deflate", () => {
    const q = eigh(symmetric(120, 6)).vectors;
    const wanted = Float64Array.from({ length: 120 }, (_, i) => (i < 50 ? 2 : i < 90 ? 1 : 0));
    const m = multiplyTransposedRight(scaleColumns(q, wanted), q);
    for (const rank of [3, 50, 60, 119]) {
      const { values, vectors } = leadingEigen(m, rank);
      expect(orthogonality(vectors)).toBeLessThan(1e-12);
      const scaled = scaleColumns(vectors, values.subarray(0, rank));
      expect(distance(multiply(m, vectors), scaled)).toBeLessThan(1e-12);
    }
    const { vectors } = leadingEigen(identity(70), 5);
    expect(orthogonality(vectors)).toBeLessThan(1e-14);
  });

  it("refuses ranks that do not fit", () => {
    for (const rank of [0, 4, 1.5, NaN]) {
      expect(codeOf(() => leadingEigen(identity(3), rank))).toBe("RankOutOfRange");
    }
    expect(codeOf(() => leadingEigen(matrix(2, 3), 1))).toBe("ShapeMismatch");
  });
});
