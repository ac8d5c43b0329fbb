import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../golden/hermitian.json";
import {
  adjoint,
  complexMatrix,
  complexMultiply,
  imaginaryPart,
  realPart,
  scaleComplexColumns,
} from "./complex";
import type { ComplexMatrix } from "./complex";
import { complexSvd } from "./complex-svd";
import { eigh } from "./eigh";
import { hermitianEigh } from "./hermitian";
import { matrix } from "./matrix";
import { svd } from "./svd";
import {
  codeOf,
  complex,
  complexDistance,
  errorOf,
  largest,
  randomComplex,
  randomMatrix,
  unitarity,
} from "./test-support";

function checkEigen(m: ComplexMatrix): ReturnType<typeof hermitianEigh> {
  const found = hermitianEigh(m);
  const norm = Math.max(largest(found.values), 1e-300);
  expect(unitarity(found.vectors)).toBeLessThan(1e-12);
  const left = complexMultiply(m, found.vectors);
  const residual = complexDistance(left, scaleComplexColumns(found.vectors, found.values));
  expect(residual).toBeLessThanOrEqual(1e-13 * norm);
  return found;
}

function checkSvd(m: ComplexMatrix): ReturnType<typeof complexSvd> {
  const found = complexSvd(m);
  const { u, values, v } = found;
  const k = Math.min(m.rows, m.columns);
  expect([u.rows, u.columns, v.rows, v.columns]).toEqual([m.rows, k, m.columns, k]);
  expect(unitarity(u)).toBeLessThan(1e-12);
  expect(unitarity(v)).toBeLessThan(1e-12);
  const back = complexMultiply(scaleComplexColumns(u, values), adjoint(v));
  expect(complexDistance(back, m)).toBeLessThanOrEqual(1e-13 * Math.max(values[0], 1e-300));
  return found;
}

/** The leading component of each column is real and positive. */
function checkPhases({ rows, columns, re, im }: ComplexMatrix): void {
  for (let j = 0; j < columns; j += 1) {
    const sizes = Float64Array.from({ length: rows }, (_, i) =>
      Math.hypot(re[i * columns + j], im[i * columns + j]),
    );
    const lead = sizes.findIndex((size) => size >= largest(sizes) * (1 - 1e-6));
    expect(re[lead * columns + j]).toBeGreaterThan(0);
    expect(Math.abs(im[lead * columns + j])).toBe(0);
  }
}

function hermitian(n: number, seed: number): ComplexMatrix {
  const m = randomComplex(n, n, seed);
  const turned = adjoint(m);
  return complexMatrix(
    n,
    n,
    m.re.map((x, i) => x + turned.re[i]),
    m.im.map((x, i) => x + turned.im[i]),
  );
}

describe("hermitianEigh", () => {
  it.each(golden.eigen)("against LAPACK: $name", (wanted) => {
    const { values, vectors } = checkEigen(complex(wanted.matrix));
    const norm = largest(Float64Array.from(wanted.values));
    expect(largest(values.map((x, i) => x - wanted.values[i]))).toBeLessThanOrEqual(1e-13 * norm);
    checkPhases(vectors);
  });

  it("agrees with the real decomposition on real input", () => {
    const m = randomMatrix(12, 12, 1).data;
    const sum = Float64Array.from(m, (x, i) => x + m[(i % 12) * 12 + Math.floor(i / 12)]);
    const own = hermitianEigh(complexMatrix(12, 12, sum));
    const other = eigh(matrix(12, 12, sum));
    expect(largest(own.values.map((x, i) => x - other.values[i]))).toBeLessThan(1e-13);
    expect(complexDistance(own.vectors, complexMatrix(12, 12, other.vectors.data))).toBeLessThan(
      1e-12,
    );
  });

  it("decomposes any size up to 64 (property)", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(1e6), (n, seed) => {
        checkPhases(checkEigen(hermitian(n, seed)).vectors);
      }),
      { numRuns: 30 },
    );
    checkEigen(hermitian(64, 5));
  });

  it("refuses what is not Hermitian", () => {
    expect(codeOf(() => hermitianEigh(complexMatrix(2, 3)))).toBe("ShapeMismatch");
    const skew = complexMatrix(2, 2, [1, 0, 0, 1], [0, 1, 1, 0]);
    expect(errorOf(() => hermitianEigh(skew))).toMatchObject({
      code: "NotSymmetric",
      context: { row: 1, column: 0 },
    });
    expect(codeOf(() => hermitianEigh(complexMatrix(1, 1, [1], [1])))).toBe("NotSymmetric");
    expect(codeOf(() => hermitianEigh(complexMatrix(1, 1, [NaN])))).toBe("NonFinite");
  });
});

describe("complexSvd", () => {
  it.each(golden.svd)("against LAPACK: $name", (wanted) => {
    const { values, v } = checkSvd(complex(wanted.matrix));
    const error = largest(values.map((x, i) => x - wanted.values[i]));
    expect(error).toBeLessThanOrEqual(1e-13 * wanted.values[0]);
    checkPhases(v);
  });

  it("agrees with the real decomposition on real input", () => {
    const m = randomMatrix(9, 6, 2);
    const own = complexSvd(complexMatrix(9, 6, m.data));
    const other = svd(m);
    expect(complexDistance(own.u, complexMatrix(9, 6, other.u.data))).toBeLessThan(1e-12);
    expect(complexDistance(own.v, complexMatrix(6, 6, other.v.data))).toBeLessThan(1e-12);
  });

  it("reconstructs any shape and rank (property)", () => {
    const size = fc.integer({ min: 1, max: 14 });
    fc.assert(
      fc.property(size, size, size, fc.nat(1e6), (rows, columns, rank, seed) => {
        const left = randomComplex(rows, rank, seed);
        checkSvd(complexMultiply(left, randomComplex(rank, columns, seed + 1)));
      }),
      { numRuns: 40 },
    );
  });

  it("completes u around columns that no unit vector is orthogonal to", () => {
    const m = complexMatrix(3, 3, [0.6, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0.8, 0, 0, 0, 0, 0]);
    expect([...checkSvd(m).values]).toEqual([expect.closeTo(1, 14), 0, 0]);
  });

  it("calls zero what is too small to square", () => {
    const factors = Float64Array.from({ length: 10 }, (_, i) => 10 ** (-30 * i));
    const { values } = checkSvd(scaleComplexColumns(randomComplex(12, 10, 3), factors));
    expect(values[9]).toBe(0);
    expect(values[4]).toBeGreaterThan(0);
  });

  it("refuses NaN", () => {
    expect(codeOf(() => complexSvd(complexMatrix(1, 1, [0], [NaN])))).toBe("NonFinite");
  });
});

describe("complex products", () => {
  it("multiply, adjoint and parts follow the definitions", () => {
    const a = complexMatrix(1, 2, [1, 2], [3, -1]);
    const b = complexMatrix(2, 1, [0, 5], [1, 2]);
    // (1+3i)(i) + (2-i)(5+2i) = (-3 + i) + (12 - i)
    const product = complexMultiply(a, b);
    expect([product.re[0], product.im[0]]).toEqual([9, 0]);
    expect([...realPart(adjoint(a)).data]).toEqual([1, 2]);
    expect([...imaginaryPart(adjoint(a)).data]).toEqual([-3, 1]);
    expect(codeOf(() => complexMultiply(a, a))).toBe("ShapeMismatch");
    expect(codeOf(() => scaleComplexColumns(a, [1]))).toBe("ShapeMismatch");
  });
});
