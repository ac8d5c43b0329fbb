import { describe, expect, it } from "vitest";
import { checkRouting, routeExperts, type Routing } from "./routing";

const plain: Routing = {
  scores: "softmax",
  groups: 1,
  topGroups: 1,
  bestOfGroup: 1,
  normalise: false,
  scale: 1,
};
const logit = (p: number) => Math.log(p / (1 - p));
const rounded = (routing: Routing, logits: readonly number[], topK: number) =>
  routeExperts(logits, topK, routing).map(({ index, share }) => [index, +share.toFixed(6)]);

describe("routeExperts", () => {
  it("weighs with the softmax over all experts, not over the chosen", () => {
    const logits = [1, 2, 5].map(Math.log);
    expect(rounded({ ...plain, scale: 2 }, logits, 2)).toEqual([
      [2, 1.25],
      [1, 0.5],
    ]);
  });

  it("chooses by score and bias, and weighs by score alone", () => {
    const logits = [0.5, 0.9, 0.3].map(logit);
    const biased = { ...plain, scores: "sigmoid", bias: Float32Array.of(0.5, 0, 0.5) } as const;
    expect(rounded(biased, logits, 2)).toEqual([
      [0, 0.5],
      [1, 0.9],
    ]);
    expect(rounded({ ...biased, normalise: true, scale: 2.8 }, logits, 2)).toEqual([
      [0, 1],
      [1, 1.8],
    ]);
  });

  it("leaves out groups by the sum of their best", () => {
    // Best of each: 0.9, 0.6, 0.7. Best two: 1.0, 1.1, 1.0.
    const logits = [0.9, 0.1, 0.6, 0.5, 0.7, 0.3].map(logit);
    const grouped = { ...plain, scores: "sigmoid", groups: 3, topGroups: 1 } as const;
    expect(rounded(grouped, logits, 2)).toEqual([
      [0, 0.9],
      [1, 0.1],
    ]);
    expect(rounded({ ...grouped, bestOfGroup: 2 }, logits, 2)).toEqual([
      [2, 0.6],
      [3, 0.5],
    ]);
  });

  it("takes the first of equals", () => {
    expect(rounded({ ...plain, groups: 2 }, [0, 0, 0, 0], 2)).toEqual([
      [0, 0.25],
      [1, 0.25],
    ]);
  });
});

describe("checkRouting", () => {
  it.each([
    [{ groups: 3 }],
    [{ groups: 0 }],
    [{ groups: 2, topGroups: 3 }],
    [{ groups: 4, topGroups: 1 }],
    [{ groups: 2, bestOfGroup: 3 }],
    [{ bias: new Float32Array(3) }],
  ])("refuses %j for two of four experts", (change) => {
    expect(() => checkRouting({ ...plain, ...change }, 4, 2)).toThrow(
      expect.objectContaining({ code: "InvalidArgument" }),
    );
  });

  it("takes what can choose", () => {
    expect(() => checkRouting({ ...plain, groups: 2, topGroups: 1 }, 4, 2)).not.toThrow();
  });
});
