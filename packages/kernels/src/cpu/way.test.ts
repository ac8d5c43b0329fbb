import { expect, test } from "vitest";
import type { LatentAttention } from "../device";
import { assumedLimits, wayOf, waySeconds } from "./way";

/** Llama-2-7B with one up-projection per head. */
const sizes = {
  tokens: 1024,
  kvLoraRank: 512,
  nopeDim: 128,
  ropeDim: 64,
  valueDim: 128,
  keyUpHeads: 32,
  valueUpHeads: 32,
};

const choose = (queryCount: number, length: number, changes: Partial<LatentAttention> = {}) =>
  wayOf(
    { heads: 32, ...changes } as LatentAttention,
    sizes,
    {
      queryStart: 0,
      queryCount,
      length,
      pages: new Int32Array(0),
    },
    assumedLimits(1),
  );

test("one query never pays for restoring the keys of the others", () => {
  expect(choose(1, 2)).toBe("absorbed");
  expect(choose(1, 8192)).toBe("absorbed");
});

test("many queries do", () => {
  expect(choose(1024, 1024)).toBe("expanded");
  expect(choose(512, 8192)).toBe("expanded");
});

test("only what the window reaches is restored", () => {
  expect(choose(1000, 8192, { window: 100 })).toBe("expanded");
});

test("shared up-projections make restoring cheaper", () => {
  expect(choose(8, 8192)).toBe("absorbed");
  const shared = { ...sizes, keyUpHeads: 1, valueUpHeads: 1 };
  const sequence = { queryStart: 0, queryCount: 8, length: 8192, pages: new Int32Array(0) };
  expect(wayOf({ heads: 32 } as LatentAttention, shared, sequence, assumedLimits(1))).toBe(
    "expanded",
  );
});

test("the caller's choice counts", () => {
  expect(choose(1, 8192, { way: "expanded" })).toBe("expanded");
  expect(choose(1024, 1024, { way: "absorbed" })).toBe("absorbed");
});

test("seconds are those of the longer of reading and computing, stage by stage", () => {
  const small = {
    tokens: 2,
    kvLoraRank: 4,
    nopeDim: 3,
    ropeDim: 2,
    valueDim: 5,
    keyUpHeads: 1,
    valueUpHeads: 2,
  };
  const sequence = { queryStart: 0, queryCount: 2, length: 10, pages: new Int32Array(0) };
  const input = { heads: 6 } as LatentAttention;
  const seconds = (limits: { bandwidth: number; gemm: number }) =>
    waySeconds(input, small, sequence, limits);
  // 6 heads, 2 queries that see 9.5 rows on average: 114 pairs; up-projections of 3 and 2 x 5 rows.
  const computing = seconds({ bandwidth: Infinity, gemm: 2 });
  expect(computing.absorbed).toBe(6 * 2 * 4 * (3 + 5) + 114 * (4 + 2 + 4));
  expect(computing.expanded).toBe(10 * 4 * 13 + 114 * (3 + 2 + 5));
  const reading = seconds({ bandwidth: 1, gemm: Infinity });
  expect(reading.absorbed).toBe(2 * 4 * 13 + 4 * 10 * 6);
  expect(reading.expanded).toBe(2 * 4 * 13 + 4 * 10 * 6 + 4 * 10 * 13);
});

test("the machine decides: where reading is dear, nothing is restored", () => {
  const sequence = { queryStart: 0, queryCount: 1024, length: 1024, pages: new Int32Array(0) };
  const input = { heads: 32 } as LatentAttention;
  expect(wayOf(input, sizes, sequence, { bandwidth: 17e9, gemm: 40e9 })).toBe("expanded");
  expect(wayOf(input, sizes, sequence, { bandwidth: 1e7, gemm: 40e9 })).toBe("absorbed");
});
