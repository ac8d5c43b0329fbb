import fc from "fast-check";
import { expect, it } from "vitest";
import { exponential } from "./exponential";

it("is exp to a relative 1e-11", () => {
  fc.assert(
    fc.property(fc.double({ min: -707, max: 0, noNaN: true }), (x) => {
      expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(1e-11);
    }),
  );
  // The ends of the range that the series has to cover.
  for (let n = 0; n < 1000; n++) {
    const x = -(n + 0.499999) * Math.LN2;
    if (x > -707) expect(Math.abs(exponential(x) / Math.exp(x) - 1)).toBeLessThan(1e-11);
  }
});

it("knows its ends", () => {
  expect(exponential(0)).toBe(1);
  expect(exponential(-800)).toBe(0);
  expect(exponential(-Infinity)).toBe(0);
  expect(exponential(Number.NaN)).toBeNaN();
});
