import { describe, expect, it } from "vitest";
import { divergence } from "./divergence";
import { EvaluationError } from "./errors";
import { perplexity } from "./perplexity";
import { recordStates } from "./record";
import { constantModel, golden, goldenModel } from "./testing/models";

const llama = await goldenModel();
const { tokens, logits } = await golden();
const uniform96 = await constantModel([...new Float32Array(96)]);

/** A model of constant probabilities, powers of one half. */
const halves = (...powers: number[]) => constantModel(powers.map((power) => -power * Math.LN2));

describe("divergence", () => {
  it("of a model from itself is nothing", async () => {
    const result = await divergence(llama, llama, tokens, { context: 24, chunk: 10 });
    const { perplexity: own } = await perplexity(llama, tokens, { context: 24, chunk: 10 });
    expect(result).toMatchObject({
      meanKl: 0,
      maxLogitDifference: 0,
      topAgreement: 1,
      perplexityA: own,
      perplexityB: own,
      tokens: 24,
    });
  });

  it("of constant models is that of their distributions, the first token of a window included", async () => {
    const a = await halves(1, 2, 2);
    const b = await halves(2, 2, 1);
    const result = await divergence(a, b, Int32Array.of(0, 0, 2, 1, 0), { context: 2 });
    expect(result.meanKl).toBeCloseTo(0.25 * Math.LN2, 6);
    expect(result.maxLogitDifference).toBeCloseTo(Math.LN2, 6);
    expect(result.topAgreement).toBe(0);
    expect(result.tokens).toBe(4);
    // Counted: 0 and 1 with probabilities 1/2 and 1/4 of a, 1/4 and 1/4 of b.
    expect(result.perplexityA).toBeCloseTo(2 ** 1.5, 5);
    expect(result.perplexityB).toBeCloseTo(4, 5);
  });

  it("from a uniform model is the entropy that is missing, by the logits of transformers", async () => {
    let sum = 0;
    let agreements = 0;
    for (let row = 0; row < tokens.length; row++) {
      const values = logits.slice(row * 96, (row + 1) * 96);
      const mass = values.reduce((total, logit) => total + Math.exp(logit), 0);
      const entropy = values.reduce((total, logit) => {
        const p = Math.exp(logit) / mass;
        return total - p * Math.log(p);
      }, 0);
      sum += Math.log(96) - entropy;
      if (values.indexOf(Math.max(...values)) === 0) agreements++;
    }
    const result = await divergence(llama, uniform96, tokens, { context: 24 });
    expect(result.meanKl).toBeCloseTo(sum / 24, 5);
    expect(result.maxLogitDifference).toBeCloseTo(Math.max(...logits.map(Math.abs)), 4);
    expect(result.topAgreement).toBeCloseTo(agreements / 24, 10);
    expect(result.perplexityB).toBeCloseTo(96, 3);
  });

  it("has a direction", async () => {
    const forward = await divergence(llama, uniform96, tokens, { context: 24 });
    const backward = await divergence(uniform96, llama, tokens, { context: 24 });
    expect(backward.meanKl).not.toBeCloseTo(forward.meanKl, 2);
    expect(backward.perplexityA).toBe(forward.perplexityB);
  });

  it("is the same from recorded states, and needs those of the same windows", async () => {
    const other = await constantModel([...new Float32Array(96)].map((_, i) => Math.sin(i)));
    const options = { context: 10, chunk: 4 };
    const record = { model: llama, states: await recordStates(llama, tokens, options) };
    const wanted = await divergence(llama, other, tokens, options);
    const { seconds: _, ...found } = await divergence(record, other, tokens, options);
    expect(wanted).toMatchObject(found);
    expect(found.meanKl).toBeGreaterThan(0.1);
    const short = divergence(record, other, tokens.subarray(0, 20), options);
    await expect(short).rejects.toMatchObject({ code: "InvalidOption" });
  });

  it("refuses models of different vocabularies", async () => {
    const other = await constantModel([0, 0]);
    const error: unknown = await divergence(llama, other, tokens).catch(
      (caught: unknown) => caught,
    );
    expect(EvaluationError.isInstance(error)).toBe(true);
    expect(error).toMatchObject({ code: "VocabularyMismatch" });
  });
});
