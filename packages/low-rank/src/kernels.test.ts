import { afterEach, describe, expect, it, vi } from "vitest";
import { simdKernels } from "./kernels";
import type { Kernels } from "./kernels";
import { plainKernels } from "./plain-kernels";
import { normals } from "./test-support";

const SIZE = 4096;

describe.each(["simd128", "relaxed"] as const)("%s and plain kernels agree", (build) => {
  /** Both on the same memory; the largest difference between what they leave there. */
  function difference(run: (kernels: Kernels) => void): number {
    const next = normals(1);
    const start = Float64Array.from({ length: SIZE }, next);
    const after = [simdKernels(SIZE, build), plainKernels(SIZE)].map((kernels) => {
      if (!kernels) throw new Error(`this engine has no ${build} build`);
      kernels.numbers.set(start);
      run(kernels);
      return kernels.numbers;
    });
    return Math.max(...after[0].map((value, i) => Math.abs(value - after[1][i])));
  }

  const sizes = [0, 1, 2, 3, 4, 5, 7, 8, 9, 14];

  it("on panels, to the bit", () => {
    for (const rows of sizes.slice(1)) {
      for (const steps of sizes.slice(1)) {
        expect(difference((k) => k.packRows(2000, 3, rows, steps, -1))).toBe(0);
        expect(difference((k) => k.packColumns(2000, steps + 2, 3, rows, steps, -1))).toBe(0);
      }
    }
  });

  it("on products of panels", () => {
    for (const steps of sizes.slice(1)) {
      for (const below of [-5, -4, -1, 0, 1, 2, 3, 4, 100]) {
        const run = (k: Kernels) => k.multiplyPanels(3001, 12, 0, 1000, 3, 3, steps, below);
        expect(difference(run)).toBeLessThan(build === "simd128" ? 1e-300 : 1e-13);
      }
    }
  });

  it("on vectors", () => {
    for (const n of sizes) {
      expect(difference((k) => k.symmetricTimesVector(1, 400, 17, 101, n))).toBeLessThan(1e-13);
      for (const count of sizes) {
        expect(difference((k) => k.addRows(1, 50, 400, 15, count, n))).toBeLessThan(1e-13);
        expect(difference((k) => k.multiplyRows(50, 400, 15, 1, count, n))).toBeLessThan(1e-13);
      }
    }
  });
});

describe("plain kernels", () => {
  it("multiply a symmetric matrix of which the upper triangle is given", () => {
    const { numbers, symmetricTimesVector } = plainKernels(30);
    numbers.set([1, 2, 3, NaN, 4, 5, NaN, NaN, 6], 0);
    numbers.set([1, 10, 100], 20);
    symmetricTimesVector(10, 0, 3, 20, 3);
    expect([...numbers.subarray(10, 13)]).toEqual([321, 542, 653]);
  });

  it("skip only the tiles below the diagonal", () => {
    const kernels = plainKernels(200);
    kernels.numbers.fill(1, 0, 32);
    kernels.multiplyPanels(100, 8, 0, 16, 2, 2, 2, 0);
    const rows = Array.from({ length: 8 }, (_, i) => [
      ...kernels.numbers.subarray(100 + 8 * i, 108 + 8 * i),
    ]);
    expect(rows[0]).toEqual([2, 2, 2, 2, 2, 2, 2, 2]);
    expect(rows[7]).toEqual([0, 0, 0, 0, 2, 2, 2, 2]);
  });
});

describe("without WebAssembly", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.resetModules();
  });

  it("the package computes with plain kernels", async () => {
    vi.stubGlobal("WebAssembly", undefined);
    vi.resetModules();
    const kernels = await import("./kernels");
    expect(kernels.simdKernels(10)).toBeUndefined();
    const { eigh, multiply, multiplyTransposedRight, scaleColumns } = await import("./index");
    const { distance, randomMatrix } = await import("./test-support");
    const m = randomMatrix(100, 100, 1);
    const square = multiplyTransposedRight(m, m);
    const { values, vectors } = eigh(square);
    const back = multiplyTransposedRight(scaleColumns(vectors, values), vectors);
    expect(distance(back, square)).toBeLessThan(1e-13 * values[0]);
    expect(multiply(m, m).data[0]).toBeTypeOf("number");
  });

  it("a memory too large for it leaves it to the plain kernels", () => {
    expect(simdKernels(2 ** 30)).toBeUndefined();
  });
});
