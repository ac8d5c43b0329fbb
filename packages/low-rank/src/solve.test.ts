import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../golden/solve.json";
import { add, gram, identity, matrix, multiply } from "./matrix";
import { solveSymmetric, solveSymmetricInPlace } from "./solve";
import { codeOf, distance, errorOf, largest, randomMatrix, real } from "./test-support";

describe("solveSymmetric", () => {
  it.each(golden.cases)("against LAPACK, ridge $ridge", ({ ridge, result }) => {
    const found = solveSymmetric(real(golden.matrix), real(golden.right), { ridge });
    const wanted = real(result);
    expect(distance(found, wanted)).toBeLessThan(1e-11 * largest(wanted.data));
  });

  it("solves any size, across its blocks of 48 (property)", () => {
    const columns = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 120 }), columns, fc.nat(1e6), (n, k, seed) => {
        const a = add(gram(randomMatrix(n, n, seed)), identity(n), n / 10);
        const b = randomMatrix(n, k, seed + 1);
        const before = a.data.slice();
        expect(distance(multiply(a, solveSymmetric(a, b)), b)).toBeLessThan(1e-11);
        expect(a.data).toEqual(before);
      }),
      { numRuns: 25 },
    );
  });

  it("gives the same in place of the right-hand side", () => {
    const [a, b] = [real(golden.matrix), real(golden.right)];
    const expected = solveSymmetric(a, b, { ridge: 0.1 });
    solveSymmetricInPlace(a, b, { ridge: 0.1 });
    expect(b.data).toEqual(expected.data);
  });

  it("adds the ridge relative to the mean diagonal", () => {
    const a = matrix(2, 2, [1, 0, 0, 3]);
    const x = solveSymmetric(a, identity(2), { ridge: 0.5 });
    expect([...x.data]).toEqual([0.5, 0, 0, 0.25].map((value) => expect.closeTo(value, 14)));
  });

  it("refuses what has no Cholesky factor, naming the pivot", () => {
    const b = identity(3);
    const deficient = gram(matrix(3, 2, [1, 0, 0, 1, 1, 1]));
    expect(errorOf(() => solveSymmetric(deficient, b))).toMatchObject({
      code: "NotPositiveDefinite",
      context: { pivot: 2 },
    });
    expect(distance(solveSymmetric(deficient, b, { ridge: 1e-3 }), matrix(3, 3))).toBeGreaterThan(
      1,
    );
    expect(codeOf(() => solveSymmetric(matrix(3, 3), b))).toBe("NotPositiveDefinite");
    expect(codeOf(() => solveSymmetric(identity(3), identity(2)))).toBe("ShapeMismatch");
    expect(codeOf(() => solveSymmetric(identity(3), b, { ridge: -1 }))).toBe("InvalidArgument");
    expect(codeOf(() => solveSymmetric(identity(1), matrix(1, 1, [NaN])))).toBe("NonFinite");
    expect(codeOf(() => solveSymmetric(matrix(2, 2, [1, 2, 3, 9]), identity(2)))).toBe(
      "NotSymmetric",
    );
  });
});
