import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../golden/moments.json";
import { diagonalOf, matrix, multiplyTransposedLeft } from "./matrix";
import { Moments } from "./moments";
import { codeOf, distance, errorOf, largest, normals, randomMatrix, real } from "./test-support";

const samples = real(golden.samples);

describe("Moments", () => {
  it("agrees with numpy, in one batch or row by row", () => {
    const whole = new Moments(4);
    whole.add(samples.data);
    const single = new Moments(4);
    for (let i = 0; i < 40; i += 1) single.add(samples.data.subarray(4 * i, 4 * i + 4));
    for (const moments of [whole, single]) {
      expect(moments.count).toBe(40);
      expect(largest(moments.mean().map((x, i) => x - golden.mean[i]))).toBeLessThan(1e-13);
      expect(distance(moments.covariance(), real(golden.covariance))).toBeLessThan(1e-12);
      // E[x²] is near 10⁴ here
      expect(distance(moments.augmented(), real(golden.augmented))).toBeLessThan(1e-11);
    }
  });

  it("keeps a variance of 1 under a mean of a million", () => {
    const next = normals(7);
    const batch = Float64Array.from({ length: 3 * 5000 }, next);
    const plain = new Moments(3);
    plain.add(batch);
    const shifted = new Moments(3);
    shifted.add(batch.map((x) => x + 1e6));
    // 1e6 + x itself is rounded to 1e-10; naive sums of squares would lose 1e-4.
    expect(distance(shifted.covariance(), plain.covariance())).toBeLessThan(2e-10);
    expect(diagonalOf(shifted.covariance())[0]).toBeCloseTo(1, 1);
    expect(shifted.mean()[0]).toBeCloseTo(1e6 + plain.mean()[0], 8);
  });

  it("does not depend on how samples are split, ordered or merged", () => {
    const all = randomMatrix(700, 5, 8);
    const whole = new Moments(5);
    whole.add(all.data);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 700 }), fc.boolean(), (cut, swap) => {
        const parts = [all.data.subarray(0, cut * 5), all.data.subarray(cut * 5)];
        const [a, b] = [new Moments(5), new Moments(5)];
        a.add(parts[swap ? 1 : 0]);
        b.add(parts[swap ? 0 : 1]);
        a.merge(b);
        expect(a.count).toBe(700);
        expect(distance(a.covariance(), whole.covariance())).toBeLessThan(1e-13);
        expect(largest(a.mean().map((x, i) => x - whole.mean()[i]))).toBeLessThan(1e-14);
      }),
      { numRuns: 25 },
    );
  });

  it("merges with itself: the same moments, twice the count", () => {
    const moments = new Moments(4);
    moments.add(samples.data);
    moments.merge(moments);
    expect(moments.count).toBe(80);
    expect(distance(moments.covariance(), real(golden.covariance))).toBeLessThan(1e-12);
  });

  it("has a zero covariance after one sample", () => {
    const moments = new Moments(2);
    moments.add(new Float32Array([3, -1]));
    expect([...moments.covariance().data]).toEqual([0, 0, 0, 0]);
    expect([...moments.secondMoment().data]).toEqual([9, -3, -3, 1]);
    expect([...moments.augmented().data]).toEqual([9, -3, 3, -3, 1, -1, 3, -1, 1]);
  });

  it("uses an injected product, on centred float32 rows", () => {
    const calls: number[] = [];
    const moments = new Moments(4, {
      gram: (batch, rows, columns) => {
        calls.push(rows);
        const x = matrix(rows, columns, batch);
        return multiplyTransposedLeft(x, x).data;
      },
    });
    const large = randomMatrix(600, 4, 9);
    moments.add(large.data);
    expect(calls).toEqual([256, 256, 88]);
    const own = new Moments(4);
    own.add(large.data);
    expect(distance(moments.covariance(), own.covariance())).toBeLessThan(1e-6);
    const broken = new Moments(4, { gram: () => new Float32Array(3) });
    expect(codeOf(() => broken.add(large.data))).toBe("ShapeMismatch");
    expect(broken.count).toBe(0);
  });

  it("takes only the named rows", () => {
    const moments = new Moments(2);
    moments.add(new Float32Array([1, 2, NaN, NaN]), 1);
    expect([...moments.mean()]).toEqual([1, 2]);
    moments.add(new Float32Array(0));
    expect(moments.count).toBe(1);
  });

  it("refuses what it cannot count, and adds nothing of it", () => {
    const moments = new Moments(3);
    expect(codeOf(() => moments.mean())).toBe("NoSamples");
    expect(codeOf(() => moments.covariance())).toBe("NoSamples");
    expect(codeOf(() => moments.add(new Float32Array(4)))).toBe("ShapeMismatch");
    expect(codeOf(() => moments.add(new Float32Array(3), 2))).toBe("ShapeMismatch");
    for (const bad of [NaN, Infinity, -Infinity, 1e200]) {
      const error = errorOf(() => moments.add(new Float64Array([1, 2, 3, 4, 5, bad])));
      expect(error).toMatchObject({ code: "NonFinite", context: { row: 1, column: 2 } });
    }
    expect(moments.count).toBe(0);
    expect(codeOf(() => moments.merge(new Moments(2)))).toBe("ShapeMismatch");
    expect(codeOf(() => new Moments(0))).toBe("InvalidArgument");
  });
});
