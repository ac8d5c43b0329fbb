import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../golden/powers.json";
import { adjoint, complexMatrix, complexMultiply } from "./complex";
import { diagonal, diagonalOf, gram, identity, matrix, multiply } from "./matrix";
import { hermitianPower, hermitianSquareRoots, squareRoots, symmetricPower } from "./powers";
import {
  codeOf,
  complex,
  complexDistance,
  distance,
  largest,
  randomComplex,
  randomMatrix,
  real,
} from "./test-support";

describe("symmetricPower", () => {
  it.each(golden.real)(
    "against LAPACK: $name",
    ({ matrix: m, exponent, floor, damping, result }) => {
      const wanted = real(result);
      const found = symmetricPower(real(m), exponent, { floor, damping });
      // A square root of rounded zeros is only good to 1e-8: sqrt(1e-16).
      const allowed = exponent > 0 ? 1e-7 : 1e-11;
      expect(distance(found, wanted)).toBeLessThan(allowed * largest(wanted.data));
    },
  );

  it.each(golden.complex)("Hermitian, against LAPACK: $name", (wanted) => {
    const { exponent, floor, damping } = wanted;
    const found = hermitianPower(complex(wanted.matrix), exponent, { floor, damping });
    expect(complexDistance(found, complex(wanted.result))).toBeLessThan(1e-11);
  });

  it("floors and damps by the mean of the positive eigenvalues", () => {
    // positive: 6 and 2, mean 4
    const m = diagonal([6, 2, 0]);
    expect([...diagonalOf(symmetricPower(m, 1, { floor: 0.75 }))]).toEqual([6, 3, 3]);
    expect([...diagonalOf(symmetricPower(m, 1, { damping: 0.25 }))]).toEqual([7, 3, 1]);
    expect([...diagonalOf(symmetricPower(m, 1, { floor: 0.75, damping: 0.25 }))]).toEqual([
      7, 4, 4,
    ]);
    // zeros that rounding made positive do not lower the mean
    expect(symmetricPower(diagonal([4, 1e-17, 0]), 1, { floor: 0.5 }).data[8]).toBe(2);
    expect(largest(symmetricPower(matrix(3, 3), 0.5).data)).toBe(0);
  });

  it("adds exponents: m^p m^q = m^(p + q) (property)", () => {
    const exponent = fc.double({ min: -1, max: 1, noNaN: true });
    fc.assert(
      fc.property(exponent, exponent, fc.nat(1e6), (p, q, seed) => {
        const m = gram(randomMatrix(6, 40, seed));
        const product = multiply(symmetricPower(m, p), symmetricPower(m, q));
        const sum = symmetricPower(m, p + q);
        expect(distance(product, sum)).toBeLessThan(1e-11 * Math.max(1, largest(sum.data)));
      }),
      { numRuns: 40 },
    );
  });

  it("gives inverse roots, real and Hermitian", () => {
    const deficient = gram(randomMatrix(8, 3, 2));
    const { root, inverseRoot } = squareRoots(deficient, { floor: 1e-4 });
    expect(distance(multiply(root, inverseRoot), identity(8))).toBeLessThan(1e-12);
    const half = randomComplex(5, 9, 3);
    const m = complexMultiply(half, adjoint(half));
    const roots = hermitianSquareRoots(m);
    expect(complexDistance(complexMultiply(roots.root, roots.root), m)).toBeLessThan(1e-12);
    const one = complexMatrix(5, 5, identity(5).data);
    expect(complexDistance(complexMultiply(roots.root, roots.inverseRoot), one)).toBeLessThan(
      1e-12,
    );
  });

  it("refuses singular, indefinite and senseless requests", () => {
    const singular = gram(randomMatrix(5, 2, 4));
    expect(codeOf(() => symmetricPower(singular, -0.5))).toBe("NotPositiveDefinite");
    expect(codeOf(() => symmetricPower(matrix(2, 2), -1, { floor: 1 }))).toBe(
      "NotPositiveDefinite",
    );
    expect(codeOf(() => symmetricPower(diagonal([1, -0.5]), 0.5, { floor: 0.1 }))).toBe(
      "NotPositiveDefinite",
    );
    expect(codeOf(() => symmetricPower(identity(2), NaN))).toBe("InvalidArgument");
    expect(codeOf(() => symmetricPower(identity(2), 1, { floor: -1 }))).toBe("InvalidArgument");
    expect(codeOf(() => symmetricPower(identity(2), 1, { damping: NaN }))).toBe("InvalidArgument");
    expect(symmetricPower(diagonal([1, -1e-9]), 0.5).data[3]).toBe(0);
  });
});
