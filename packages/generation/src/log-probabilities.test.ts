import { describe, expect, it } from "vitest";
import { logProbabilities } from "./log-probabilities";
import { readJson } from "./testing/golden";

const golden = readJson("../../golden/sampling.json") as {
  readonly logits: readonly number[];
  readonly logProbabilities: readonly number[];
};

describe("logProbabilities", () => {
  it("agree with torch", () => {
    const logits = Float32Array.from(golden.logits);
    for (const [token, expected] of golden.logProbabilities.entries()) {
      expect(logProbabilities(logits, token, 0).logprob).toBeCloseTo(expected, 5);
    }
  });

  it("know powers of two, and name the likeliest first, the lower id among equals", () => {
    const logits = Float32Array.of(1, 3, 1, 2).map((power) => power * Math.LN2 + 100);
    const { logprob, top } = logProbabilities(logits, 0, 3);
    expect(logprob).toBeCloseTo(-3 * Math.LN2, 5);
    expect(top.map(({ token }) => token)).toEqual([1, 3, 0]);
    for (const [rank, power] of [-1, -2, -3].entries()) {
      expect(top[rank]!.logprob).toBeCloseTo(power * Math.LN2, 5);
    }
  });

  it("give no alternatives unless asked, and all there are at most", () => {
    const logits = Float32Array.of(0, 0);
    expect(logProbabilities(logits, 1, 0).top).toEqual([]);
    expect(logProbabilities(logits, 1, 9).top).toHaveLength(2);
  });

  it.each([[[NaN, 1]], [[-Infinity, -Infinity]], [[Infinity, 1]]])("refuse %j", (values) => {
    expect(() => logProbabilities(Float32Array.from(values), 0, 1)).toThrow(
      expect.objectContaining({ code: "InvalidLogits" }),
    );
  });
});
