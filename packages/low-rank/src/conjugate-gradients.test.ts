import { describe, expect, it } from "vitest";
import { conjugateGradients } from "./conjugate-gradients";
import { matrix, multiply } from "./matrix";

const a = matrix(3, 3, [4, 1, 0, 1, 3, 1, 0, 1, 2]);
const times = (x: Float64Array) => multiply(a, matrix(3, 1, x)).data;

describe("conjugateGradients", () => {
  it("solves three unknowns in three steps", async () => {
    // A (2, 0, -1) = (8, 1, -2)
    const x = await conjugateGradients(times, Float64Array.of(8, 1, -2), { iterations: 3 });
    expect(x[0]).toBeCloseTo(2, 12);
    expect(x[1]).toBeCloseTo(0, 12);
    expect(x[2]).toBeCloseTo(-1, 12);
  });

  it("is not there yet after two", async () => {
    const x = await conjugateGradients(times, Float64Array.of(8, 1, -2), { iterations: 2 });
    expect(Math.hypot(x[0] - 2, x[1], x[2] + 1)).toBeGreaterThan(1e-3);
  });

  it("treats systems apart: one of a multiple of the identity is solved by its first step", async () => {
    // 5 I beside A: together they would need four steps.
    const both = (x: Float64Array) =>
      Float64Array.from([...x.subarray(0, 3).map((v) => 5 * v), ...times(x.subarray(3))]);
    const b = Float64Array.of(5, 10, 15, 2, -2, 4);
    const x = await conjugateGradients(both, b, { iterations: 1, systems: 2 });
    expect([...x.subarray(0, 3)]).toEqual([1, 2, 3]);
    expect(Math.abs(x[3] - 1)).toBeGreaterThan(1e-3);
  });

  it("waits for an operator that runs elsewhere, and stops at zero", async () => {
    let calls = 0;
    const identity = async (x: Float64Array) => {
      calls += 1;
      return Promise.resolve(x.slice());
    };
    expect([
      ...(await conjugateGradients(identity, Float64Array.of(1, 2), { iterations: 9 })),
    ]).toEqual([1, 2]);
    expect(calls).toBe(1);
    expect([
      ...(await conjugateGradients(identity, new Float64Array(2), { iterations: 9 })),
    ]).toEqual([0, 0]);
    expect(calls).toBe(1);
  });

  it.each([
    ["InvalidArgument", { iterations: 0 }, times],
    ["InvalidArgument", { iterations: 1, systems: 2 }, times],
    ["ShapeMismatch", { iterations: 1 }, () => new Float64Array(2)],
    ["NonFinite", { iterations: 1 }, () => new Float64Array(3).fill(Number.NaN)],
  ])("refuses with %s", async (code, options, operator) => {
    await expect(
      conjugateGradients(operator, Float64Array.of(1, 2, 3), options),
    ).rejects.toMatchObject({ code });
  });
});
