import type { Model } from "@transmla/models";
import { beforeAll, describe, expect, it } from "vitest";
import { keepTopK, softmax } from "../sampling-filters";
import { goldenModel, goldenPrompt } from "../testing/golden-model";
import { draftModel } from "./draft-model";
import type { Drafter } from "./drafter";
import { Engine } from "./engine";
import { promptLookup } from "./prompt-lookup";

let model: Model;
let prompt: Int32Array;

beforeAll(async () => {
  model = await goldenModel();
  prompt = (await goldenPrompt()).prompt.subarray(0, 4);
});

/** The probabilities of the next token, of four that are left. */
async function probabilities(tokens: readonly number[]): Promise<Map<number, number>> {
  const cache = model.createCache({ capacity: 64 });
  const step = { sequence: cache.open(), tokens: Int32Array.from(tokens) };
  const logits = await model.device.read(model.forward(cache, [step]));
  cache.destroy();
  const left = softmax(keepTopK(logits, 4));
  return new Map(Array.from(left, (p, token) => [token, p] as const).filter(([, p]) => p > 0));
}

describe("speculative decoding", () => {
  it("leaves the distribution of sampled text as it is", async () => {
    const proposed: number[] = [];
    const first = await probabilities([...prompt]);
    const guess = [...first].toSorted(([, a], [, b]) => b - a)[1]![0];
    // Always guesses the second most probable token: right about as often as that token is chosen.
    const drafter: Drafter = {
      open: () => ({
        async propose(tokens, count) {
          proposed.push(tokens.length);
          return new Int32Array(count).fill(guess);
        },
        close() {},
      }),
    };
    const runs = 3000;
    const cache = { capacity: 8 * 300, pageTokens: 4 };
    const engine = new Engine(model, { cache, speculation: { drafter, tokens: 2 } });
    const counts = new Map<string, number>();
    for (let seed = 0; seed < runs; seed += 300) {
      const sampling = { temperature: 1, topK: 4, seed: 1 + seed };
      const run = engine.submit({
        promptTokens: prompt,
        maxTokens: 3,
        stopTokenIds: [],
        n: 300,
        sampling,
      });
      const made: number[][] = Array.from({ length: 300 }, () => []);
      for await (const { choice, token } of run) made[choice]!.push(token);
      for (const tokens of made) {
        const key = tokens.join();
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    await engine.close();
    expect(proposed.length).toBe(runs);

    // Pearson's chi-square over all texts of three tokens: 63 degrees of freedom, above 103.4 once in a thousand times.
    let chiSquare = 0;
    let total = 0;
    for (const [a, p] of first) {
      for (const [b, q] of await probabilities([...prompt, a])) {
        for (const [c, r] of await probabilities([...prompt, a, b])) {
          const expected = runs * p * q * r;
          const key = [a, b, c].join();
          chiSquare += ((counts.get(key) ?? 0) - expected) ** 2 / expected;
          total += counts.get(key) ?? 0;
        }
      }
    }
    expect(total).toBe(runs);
    expect(chiSquare).toBeLessThan(103.4);
  });

  it("accepts every guess of the model itself, and so needs fewer steps", async () => {
    const own = await goldenModel();
    const cache = own.createCache({ capacity: 256 });
    const texts: number[][] = [];
    const steps: number[] = [];
    for (const drafter of [undefined, draftModel(own, cache)]) {
      const counted = await goldenModel();
      let forwards = 0;
      const forward = counted.forward.bind(counted);
      counted.forward = (...values) => {
        forwards++;
        return forward(...values);
      };
      const speculation = drafter && { drafter, tokens: 3 };
      const engine = new Engine(counted, { cache: { capacity: 256 }, speculation });
      const tokens: number[] = [];
      const request = { promptTokens: prompt, maxTokens: 41, stopTokenIds: [] };
      for await (const { token } of engine.submit(request)) tokens.push(token);
      await engine.close();
      texts.push(tokens);
      steps.push(forwards);
    }
    expect(texts[1]).toEqual(texts[0]);
    // The prompt's step makes one token, every other one four.
    expect(steps).toEqual([41, 11]);
    expect(cache.freeTokens).toBe(256);
    cache.destroy();
  });

  it("goes without guesses where the draft's cache is full", async () => {
    const cache = model.createCache({ capacity: 8, pageTokens: 8 });
    const speculation = { drafter: draftModel(model, cache) };
    const engine = new Engine(model, { cache: { capacity: 256 }, speculation });
    const request = { promptTokens: prompt, maxTokens: 20, stopTokenIds: [] };
    let count = 0;
    for await (const _ of engine.submit(request)) count++;
    expect(count).toBe(20);
    await engine.close();
    cache.destroy();
  });
});

describe("promptLookup", () => {
  const propose = (tokens: readonly number[], count: number, options = {}) =>
    promptLookup(options).open().propose(Int32Array.from(tokens), count);

  it("proposes what followed the longest repetition last", async () => {
    expect([...(await propose([1, 2, 3, 7, 8, 2, 3, 9, 1, 2, 3], 2))]).toEqual([7, 8]);
    expect([...(await propose([5, 3, 7, 4, 3, 9, 6, 3], 3))]).toEqual([9, 6, 3]);
    expect([...(await propose([4, 4, 4], 3))]).toEqual([4]);
  });

  it("has no idea where nothing repeats", async () => {
    expect([...(await propose([1, 2, 3], 2))]).toEqual([]);
    expect([...(await propose([1, 2, 1], 2, { shortest: 2 }))]).toEqual([]);
    expect(() => promptLookup({ longest: 1, shortest: 2 })).toThrow(
      expect.objectContaining({ code: "InvalidOption" }),
    );
  });
});
