import { describe, expect, it } from "vitest";
import { referenceDevice } from "@transmla/kernels";
import { perplexity } from "./perplexity";
import { constantModel, golden, goldenModel } from "./testing/models";
import { planWindows, type EvaluationOptions, type Progress } from "./windows";

const uniform = await constantModel([0, 0, 0, 0, 0, 0, 0]);
const llama = await goldenModel();
const prompt = await golden();
const text = Int32Array.from({ length: 50 }, (_, index) => (index * index + 3 * index) % 96);

describe("perplexity", () => {
  it("of a model that knows nothing is the size of its vocabulary", async () => {
    const result = await perplexity(uniform, Int32Array.of(1, 2, 3, 4, 5, 6, 0), { context: 4 });
    expect(result.perplexity).toBeCloseTo(7, 12);
    expect(result.nll).toBeCloseTo(Math.log(7), 12);
    expect(result.tokens).toBe(3 + 2);
    expect(result.tokensPerSecond).toBeCloseTo(5 / result.seconds, 6);
  });

  it("is the inverse geometric mean of the probabilities", async () => {
    const model = await constantModel([1, 2, 3, 3].map((power) => -power * Math.LN2));
    // Counted: 1, 2, 0, 0 with probabilities 1/4, 1/8, 1/2, 1/2.
    const { perplexity: value } = await perplexity(model, Int32Array.of(3, 1, 2, 0, 0), {
      context: 8,
    });
    expect(value).toBeCloseTo(2 ** ((2 + 3 + 1 + 1) / 4), 5);
  });

  it("is that of the logits of transformers", async () => {
    const { tokens, logits } = prompt;
    let sum = 0;
    for (let row = 0; row + 1 < tokens.length; row++) {
      const values = logits.slice(row * 96, (row + 1) * 96);
      const mass = values.reduce((total, logit) => total + Math.exp(logit), 0);
      sum += Math.log(mass) - values[tokens[row + 1]!]!;
    }
    const { nll } = await perplexity(llama, tokens, { context: 24 });
    expect(nll).toBeCloseTo(sum / 23, 5);
  });

  it("does not depend on the size of the chunks", async () => {
    const whole = await perplexity(llama, text, { context: 20, chunk: 20 });
    for (const chunk of [1, 7, 19, 500]) {
      const chunked = await perplexity(llama, text, { context: 20, chunk });
      expect(chunked.nll).toBeCloseTo(whole.nll, 5);
      expect(chunked.tokens).toBe(19 + 19 + 9);
    }
  });

  it("takes every window by itself", async () => {
    const windows = planWindows([llama], text, { context: 20 });
    const each = await Promise.all(
      windows.map((window) => perplexity(llama, window, { context: 20 })),
    );
    const sum = each.reduce((total, { nll, tokens }) => total + nll * tokens, 0);
    const { nll, tokens } = await perplexity(llama, text, { context: 20 });
    expect(nll).toBeCloseTo(sum / tokens, 10);
    expect(nll).not.toBeCloseTo((await perplexity(llama, text, { context: 50 })).nll, 3);
  });

  it("reports progress and stops when asked to, leaving nothing on the device", async () => {
    const progress: Progress[] = [];
    await perplexity(llama, text, {
      context: 20,
      chunk: 15,
      onProgress: (step) => progress.push(step),
    });
    expect(progress.map(({ done }) => done)).toEqual([15, 20, 35, 40, 50]);
    expect(progress[0]).toEqual({ done: 15, total: 50, unit: "tokens" });

    const pools = new Set<unknown>();
    const device = referenceDevice();
    const { pagePool, release } = device;
    device.pagePool = (layout) => {
      const pool = pagePool.call(device, layout);
      pools.add(pool);
      return pool;
    };
    device.release = (resource) => {
      pools.delete(resource);
      release.call(device, resource);
    };
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error("enough"));
    const model = await goldenModel(device);
    const run = perplexity(model, text, { context: 20, onProgress, signal: controller.signal });
    await expect(run).rejects.toThrow("enough");
    expect(pools.size).toBe(0);
  });
});

const lengths = (count: number, options: EvaluationOptions) =>
  planWindows([uniform], new Int32Array(count), options).map((window) => window.length);

describe("planWindows", () => {
  it("cuts the text, and leaves out a last window of one token", () => {
    expect(lengths(10, { context: 4 })).toEqual([4, 4, 2]);
    expect(lengths(9, { context: 4 })).toEqual([4, 4]);
    expect(lengths(3, { context: 64 })).toEqual([3]);
    expect(lengths(10, { context: 4, maxTokens: 6 })).toEqual([4, 2]);
  });

  it.each<[string, Int32Array, EvaluationOptions, string]>([
    ["a context of one", new Int32Array(9), { context: 1 }, "InvalidOption"],
    ["a context beyond the positions", new Int32Array(9), { context: 65 }, "InvalidOption"],
    [
      "the default context where the model has fewer positions",
      new Int32Array(9),
      {},
      "InvalidOption",
    ],
    ["a fractional limit", new Int32Array(9), { context: 4, maxTokens: 2.5 }, "InvalidOption"],
    ["no chunk", new Int32Array(9), { context: 4, chunk: 0 }, "InvalidOption"],
    ["one token", new Int32Array(1), { context: 4 }, "TooFewTokens"],
    ["a limit of one token", new Int32Array(9), { context: 4, maxTokens: 1 }, "TooFewTokens"],
    ["a token beyond the vocabulary", Int32Array.of(1, 7), { context: 4 }, "InvalidTokens"],
    ["a negative token", Int32Array.of(1, -1), { context: 4 }, "InvalidTokens"],
  ])("refuses %s", async (_, tokens, options, code) => {
    await expect(perplexity(uniform, tokens, options)).rejects.toMatchObject({ code });
  });
});
