import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  argmax,
  compareRows,
  logSumExp,
  negativeLogLikelihood,
  rowOf,
  type Row,
} from "./log-probability";

const row = (...values: number[]) => rowOf(Float32Array.from(values), 0, values.length);
const kl = (a: Row, b: Row) => compareRows(a, b).kl;
/** Logits of probabilities that are powers of one half. */
const halves = (...powers: number[]) => row(...powers.map((power) => -power * Math.LN2));

describe("logSumExp", () => {
  it("knows the sum of equal terms and does not overflow", () => {
    expect(logSumExp(row(0, 0, 0, 0))).toBe(Math.log(4));
    expect(logSumExp(row(1000, 1000))).toBe(1000 + Math.LN2);
    expect(logSumExp(row(-1000, -1000))).toBe(-1000 + Math.LN2);
    expect(logSumExp(row(0, -Infinity))).toBe(0);
  });

  it("sums in float64", () => {
    const values = new Float32Array(50_000).fill(3);
    expect(logSumExp(rowOf(values, 0, values.length))).toBeCloseTo(3 + Math.log(50_000), 12);
  });

  it.each([[[NaN]], [[1, NaN]], [[Infinity, 0]], [[-Infinity]], [[]]])("refuses %j", (values) => {
    const error = expect.objectContaining({ code: "InvalidLogits" }) as Error;
    expect(() => logSumExp(row(...values))).toThrow(error);
  });
});

describe("rows", () => {
  it("are parts of a matrix", () => {
    const matrix = Float32Array.of(9, 8, 7, 1, 3, 3);
    expect(argmax(rowOf(matrix, 0, 3))).toBe(0);
    expect(argmax(rowOf(matrix, 1, 3))).toBe(1);
    expect(compareRows(rowOf(matrix, 0, 3), rowOf(matrix, 1, 3)).maxDifference).toBe(8);
    expect(negativeLogLikelihood(rowOf(matrix, 1, 3), 0)).toBeCloseTo(
      Math.log(Math.exp(1) + 2 * Math.exp(3)) - 1,
      12,
    );
  });
});

describe("compareRows", () => {
  it("of (1/2, 1/4, 1/4) and (1/4, 1/4, 1/2) is a quarter of log 2, of others what the definition says", () => {
    const a = halves(1, 2, 2);
    expect(kl(a, halves(2, 2, 1))).toBeCloseTo(0.25 * Math.LN2, 7);
    // 1/2 log(1/2 / 1/8) + 1/4 log(1/4 / 1/8) + 1/4 log(1/4 / 3/4)
    const b = row(Math.log(1 / 8), Math.log(1 / 8), Math.log(3 / 4));
    const expected = 0.5 * Math.log(4) + 0.25 * Math.log(2) + 0.25 * Math.log(1 / 3);
    expect(kl(a, b)).toBeCloseTo(expected, 6);
  });

  it("has everything else of both rows", () => {
    const [a, b] = [row(1, 4, 2), row(3, 0, 8)];
    expect(compareRows(a, b)).toMatchObject({ sameTop: false, maxDifference: 6 });
    expect(compareRows(a, row(0, 9, 8)).sameTop).toBe(true);
    expect(compareRows(a, b).logSumA).toBeCloseTo(logSumExp(a), 12);
    expect(compareRows(a, b).logSumB).toBeCloseTo(logSumExp(b), 12);
    expect(compareRows(b, a).maxDifference).toBe(6);
  });

  it.each([[[NaN, 0]], [[-Infinity, -Infinity]], [[Infinity, 0]]])("refuses %j", (values) => {
    const error = expect.objectContaining({ code: "InvalidLogits" }) as Error;
    expect(() => compareRows(row(...values), row(0, 0))).toThrow(error);
    expect(() => compareRows(row(0, 0), row(...values))).toThrow(error);
  });

  it("is infinite where b excludes what a allows, finite the other way round", () => {
    expect(kl(row(0, 0), row(0, -Infinity))).toBe(Infinity);
    expect(kl(row(0, -Infinity), row(0, 0))).toBeCloseTo(Math.LN2, 12);
  });

  it("is zero for equal logits, indifferent to shifts and never negative", () => {
    const logits = fc.array(fc.integer({ min: -300, max: 300 }), { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(logits, logits, (x, y) => {
        const a = row(...x.map((value) => value / 16));
        const b = row(...y.map((value) => value / 16));
        const shifted = row(...y.map((value) => value / 16 + 5));
        expect(kl(a, a)).toBe(0);
        expect(kl(a, b)).toBeGreaterThanOrEqual(0);
        expect(kl(a, shifted)).toBeCloseTo(kl(a, b), 10);
      }),
    );
  });
});
