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
  expect(choose(1, 1)).toBe("absorbed");
  expect(choose(1, 8192)).toBe("absorbed");
});

test("many queries do", () => {
  expect(choose(1024, 1024)).toBe("expanded");
  expect(choose(512, 8192)).toBe("expanded");
});

test("a short window leaves little to share", () => {
  expect(choose(1024, 1024, { window: 8 })).toBe("absorbed");
});

test("the caller's choice counts", () => {
  expect(choose(1, 8192, { way: "expanded" })).toBe("expanded");
  expect(choose(1024, 1024, { way: "absorbed" })).toBe("absorbed");
});
