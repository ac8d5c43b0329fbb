import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allocate } from "./allocate";

const total = (sizes: readonly number[]) => sizes.reduce((sum, size) => sum + size, 0);

describe("allocate", () => {
  test("gives equal layers equal sizes", () => {
    const layer = { sizes: [6, 10, 16], errors: [8, 4, 1] };
    expect(allocate([layer, layer, layer], 10, 2)).toEqual([10, 10, 10]);
  });

  // Errors a_l exp(-s / 10): the sum is least where all are equal, which is at sizes 10 log(a_l / e).
  test("finds the known optimum of exponential errors", () => {
    const wanted = [12, 20, 28];
    const table = wanted.map((size) => ({
      sizes: [8, 20, 32],
      errors: [8, 20, 32].map((s) => Math.exp((size - s) / 10)),
    }));
    expect(allocate(table, 20, 1)).toEqual(wanted);
  });

  test("stays within what was measured, and takes from layers that hardly gain", () => {
    const flat = { sizes: [6, 10, 16], errors: [1, 1, 1] };
    const steep = { sizes: [6, 10, 16], errors: [100, 10, 1] };
    expect(allocate([flat, steep], 10, 2)).toEqual([6, 14]);
  });

  test("a layer with one size keeps it", () => {
    const only = { sizes: [10], errors: [5] };
    const other = { sizes: [6, 10, 16], errors: [3, 2, 1] };
    expect(allocate([only, other], 10, 2)).toEqual([10, 10]);
  });

  test("errors of zero have a place on the scale of logarithms", () => {
    const none = { sizes: [6, 10, 16], errors: [0, 0, 0] };
    const some = { sizes: [6, 10, 16], errors: [3, 2, 0] };
    expect(allocate([none, some], 10, 2)).toEqual([6, 14]);
  });

  test("property: spends exactly the budget and is never worse than equal sizes", () => {
    const layer = fc
      .array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 3, maxLength: 3 })
      .map((errors) => ({ sizes: [6, 10, 16], errors: errors.toSorted((a, b) => b - a) }));
    fc.assert(
      fc.property(fc.array(layer, { minLength: 1, maxLength: 6 }), (table) => {
        const sizes = allocate(table, 10, 2);
        expect(total(sizes)).toBe(10 * table.length);
        for (const size of sizes) expect(size >= 6 && size <= 16).toBe(true);
        const uniform = table.reduce((sum, { errors }) => sum + errors[1], 0);
        const most = Math.max(...table.flatMap(({ errors }) => errors));
        expect(predicted(table, sizes)).toBeLessThanOrEqual(uniform + 1e-8 * most + 1e-250);
      }),
    );
  });
});

/** The sum of errors, interpolated in their logarithm. */
function predicted(
  table: readonly { readonly errors: readonly number[] }[],
  sizes: readonly number[],
): number {
  const log = (error: number) => Math.log(Math.max(error, 1e-300));
  return table.reduce((sum, { errors: [a, b, c] }, layer) => {
    const size = sizes[layer];
    const [left, right, part] = size <= 10 ? [a, b, (size - 6) / 4] : [b, c, (size - 10) / 6];
    return sum + Math.exp(log(left) + part * (log(right) - log(left)));
  }, 0);
}
