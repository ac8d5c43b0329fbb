import type { GroupedAttentionConfig, LatentAttentionConfig } from "@transmla/models";
import { describe, expect, it } from "vitest";
import { attentionLoad, waysOf } from "./attention-load";

const base = { heads: 8, frequencies: new Float64Array(4), scale: 1, outputBias: false };
const grouped: GroupedAttentionConfig = {
  ...base,
  kind: "gqa",
  kvHeads: 2,
  headDim: 16,
  inputBias: false,
};
const latent: LatentAttentionConfig = {
  ...base,
  kind: "mla",
  kvLoraRank: 24,
  ropeDim: 8,
  nopeDim: 16,
  valueDim: 16,
  keyUpHeads: 2,
  valueUpHeads: 2,
  queryBias: false,
  latentBias: false,
};
const nothing = { perQuery: 0, perCached: 0, restored: 0 };

describe("one device", () => {
  it("grouped attention keeps 2 g d and does 2 h d", () => {
    expect(waysOf(grouped)).toEqual(["grouped"]);
    const load = { ...nothing, planes: [32, 32], perPair: 2 * 8 * 16 };
    expect(attentionLoad(grouped, "grouped", "heads", 1)).toEqual(load);
  });

  it("absorbed attention keeps r + d_rope, does h (2 r + d_rope), and h r (d_nope + d_v) per query", () => {
    expect(attentionLoad(latent, "absorbed", "heads", 1)).toEqual({
      ...nothing,
      planes: [24, 8],
      perPair: 8 * (24 + 8 + 24),
      perQuery: 8 * 24 * 32,
    });
    // The exact construction scores rotated keys only.
    const exact = { ...latent, nopeDim: 0, keyUpHeads: 0 };
    expect(attentionLoad(exact, "absorbed", "heads", 1).perPair).toBe(8 * (8 + 24));
  });

  it("restored attention keeps as little and makes keys and values of both groups at every step", () => {
    expect(attentionLoad(latent, "restored", "heads", 1)).toEqual({
      planes: [24, 8],
      perPair: 8 * (16 + 8 + 16),
      perQuery: 0,
      perCached: 24 * (32 + 32),
      restored: 64,
    });
  });

  it("expanded attention keeps them, the rotated key once", () => {
    expect(attentionLoad(latent, "expanded", "heads", 1)).toEqual({
      ...nothing,
      planes: [32 + 8, 32],
      perPair: 8 * (16 + 8 + 16),
      perQuery: 24 * 64,
    });
  });
});

describe("several devices", () => {
  it("cut grouped attention by heads, as far as there are some", () => {
    expect(attentionLoad(grouped, "grouped", "heads", 2).planes).toEqual([16, 16]);
    expect(attentionLoad(grouped, "grouped", "heads", 8)).toMatchObject({
      planes: [16, 16],
      perPair: 2 * 16,
    });
  });

  it("copy latents, or cut them and leave every head everywhere", () => {
    expect(attentionLoad(latent, "absorbed", "heads", 4)).toMatchObject({
      planes: [24, 8],
      perPair: 2 * (24 + 8 + 24),
    });
    expect(attentionLoad(latent, "absorbed", "latent", 4)).toMatchObject({
      planes: [6, 8],
      perPair: 8 * (6 + 8 + 6),
      perQuery: 8 * 6 * 32,
    });
  });

  it("leave attention whole where each has its own sequences", () => {
    for (const way of waysOf(latent)) {
      const alone = attentionLoad(latent, way, "heads", 1);
      expect(attentionLoad(latent, way, "sequences", 8)).toEqual(alone);
    }
  });
});
