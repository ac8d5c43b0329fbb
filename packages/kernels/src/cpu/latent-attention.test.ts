import { expect, test } from "vitest";
import type { LatentAttention } from "../device";
import { wayOf } from "./latent-attention";

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
  wayOf({ heads: 32, ...changes } as LatentAttention, sizes, {
    queryStart: 0,
    queryCount,
    length,
    pages: new Int32Array(0),
  });

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
  expect(wayOf({ heads: 32 } as LatentAttention, shared, sequence)).toBe("expanded");
});

test("the caller's choice counts", () => {
  expect(choose(1, 8192, { way: "expanded" })).toBe("expanded");
  expect(choose(1024, 1024, { way: "absorbed" })).toBe("absorbed");
});
