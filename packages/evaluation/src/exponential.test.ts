import fc from "fast-check";
import { expect, it } from "vitest";
import { exponential } from "./exponential";

const error = (x: number) => Math.abs(exponential(x) / Math.exp(x) - 1);

it("is exp to a relative 1e-11", () => {
  fc.assert(fc.property(fc.double({ min: -100, max: 0, noNaN: true }), (x) => error(x) < 1e-11));
});

it("is so at the ends of what the series has to cover", () => {
  const steps = Array.from({ length: 18_000 }, (_, n) => (-(n + 0.4999) * Math.LN2) / 128);
  expect(Math.max(...steps.map(error))).toBeLessThan(1e-11);
});

it("knows its ends", () => {
  expect(exponential(0)).toBe(1);
  expect(exponential(-101)).toBe(0);
  expect(exponential(-Infinity)).toBe(0);
  expect(exponential(Number.NaN)).toBeNaN();
});
