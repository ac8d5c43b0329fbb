import { beforeAll, describe, expect, it } from "vitest";
import { referenceDevice } from "@transmla/kernels";
import type { Model } from "@transmla/models";
import { generate, type GenerateOptions } from "./generate";
import { largest } from "./sampling-filters";
import { goldenModel, goldenPrompt } from "./testing/golden-model";
import { trackedDevice } from "./testing/tracked-device";

let model: Model;
let prompt: Int32Array;
let next: number;

beforeAll(async () => {
  model = await goldenModel();
  ({ prompt, next } = await goldenPrompt());
});

async function tokensOf(options: Partial<GenerateOptions> = {}, of = model): Promise<number[]> {
  const tokens: number[] = [];
  const all = { promptTokens: prompt, maxTokens: 12, stopTokenIds: [], ...options };
  for await (const token of generate(of, all)) tokens.push(token);
  return tokens;
}

/** Greedy continuation without any cache: the whole text again for every token. */
async function recomputed(count: number): Promise<number[]> {
  const tokens = [...prompt];
  for (let step = 0; step < count; step++) {
    const cache = model.createCache({ capacity: tokens.length });
    const whole = { sequence: cache.open(), tokens: Int32Array.from(tokens) };
    const logits = model.forward(cache, [whole]);
    tokens.push(largest(await model.device.read(logits)));
    model.device.release(logits);
    cache.destroy();
  }
  return tokens.slice(prompt.length);
}

describe("generate", () => {
  it("begins with the token that transformers finds most probable", async () => {
    expect((await tokensOf())[0]).toBe(next);
  });

  it("makes from its cache what recomputing everything makes", async () => {
    expect(await tokensOf()).toEqual(await recomputed(12));
  });

  it("does not depend on the size of the prefill chunks", async () => {
    const whole = await tokensOf();
    for (const prefillChunk of [1, 5, 23, 24, 25]) {
      expect(await tokensOf({ prefillChunk })).toEqual(whole);
    }
  });

  it("chooses on the host what the device chooses", async () => {
    const host = await tokensOf({ sampling: { temperature: 1, topK: 1 } });
    expect(host).toEqual(await tokensOf());
  });

  it("penalises repetition from the prompt on", async () => {
    const sampling = { repetitionPenalty: 1e6 };
    const tokens = await tokensOf({ sampling });
    expect(new Set([...prompt, ...tokens]).size).toBe(new Set(prompt).size + tokens.length);
  });

  it("repeats itself with the same seed", async () => {
    const [once, again, other] = await Promise.all(
      [3, 3, 4].map((seed) => tokensOf({ sampling: { temperature: 1.5, seed } })),
    );
    expect(again).toEqual(once);
    expect(other).not.toEqual(once);
  });

  it("stops before a stop token", async () => {
    const whole = await tokensOf();
    const stop = whole.find((token, index) => whole.indexOf(token) === index && index > 0)!;
    const generation = generate(model, {
      promptTokens: prompt,
      maxTokens: 12,
      stopTokenIds: [stop],
    });
    const tokens: number[] = [];
    for await (const token of generation) tokens.push(token);
    expect(tokens).toEqual(whole.slice(0, whole.indexOf(stop)));
    expect(generation.summary.finishReason).toBe("stop");
  });

  it("takes the stop tokens of the model's config unless told otherwise", async () => {
    const ending = await goldenModel({ eos_token_id: [next] });
    expect(await tokensOf({ stopTokenIds: undefined }, ending)).toEqual([]);
    expect(await tokensOf({ stopTokenIds: [] }, ending)).toHaveLength(12);
  });

  it("ends with the context, which counts as length", async () => {
    const long = Int32Array.from({ length: 250 }, (_, index) => (index % 90) + 1);
    const options = { promptTokens: long, maxTokens: 100, stopTokenIds: [] };
    const generation = generate(model, options);
    let count = 0;
    for await (const _ of generation) count++;
    expect(count).toBe(6);
    expect(generation.summary).toMatchObject({
      finishReason: "length",
      promptTokens: 250,
      tokens: 6,
    });
    const full = generate(model, { ...options, promptTokens: new Int32Array(256).fill(5) });
    expect(await full[Symbol.asyncIterator]().next()).toEqual({ done: true, value: undefined });
    expect(full.summary).toMatchObject({ finishReason: "length", tokens: 0 });
  });

  it("begins an empty prompt with the token for the beginning", async () => {
    const promptTokens = new Int32Array(0);
    expect(await tokensOf({ promptTokens })).toEqual(
      await tokensOf({ promptTokens: Int32Array.of(0) }),
    );
    const headless = await goldenModel({ bos_token_id: null });
    expect(() => generate(headless, { promptTokens, maxTokens: 1 })).toThrow(
      expect.objectContaining({ code: "EmptyPrompt" }),
    );
  });

  it("accounts for time and memory", async () => {
    const generation = generate(model, { promptTokens: prompt, maxTokens: 50, stopTokenIds: [] });
    expect(generation.summary).toMatchObject({ tokens: 0, finishReason: undefined });
    for await (const _ of generation) expect(generation.summary.prefillSeconds).toBeGreaterThan(0);
    const { prefillSeconds, decodeSeconds, kvCacheBytes, tokens } = generation.summary;
    expect(tokens).toBe(50);
    expect(decodeSeconds).toBeGreaterThan(prefillSeconds / 10);
    // 73 tokens are in two pages of 64; two layers with keys and values of two heads of 8 numbers of 4 bytes.
    expect(kvCacheBytes).toBe(2 * 64 * (2 * 2 * 2 * 8) * 4);
  });

  it.each<[string, Partial<GenerateOptions>, string]>([
    ["no tokens to make", { maxTokens: 0 }, "InvalidOption"],
    ["half a token", { maxTokens: 1.5 }, "InvalidOption"],
    ["a chunk of nothing", { prefillChunk: 0 }, "InvalidOption"],
    ["a negative temperature", { sampling: { temperature: -1 } }, "InvalidOption"],
    ["a prompt beyond the context", { promptTokens: new Int32Array(257) }, "PromptTooLong"],
    ["a token beyond the vocabulary", { promptTokens: Int32Array.of(96) }, "InvalidPrompt"],
    ["a negative token", { promptTokens: Int32Array.of(-1) }, "InvalidPrompt"],
  ])("refuses %s before it begins", (_, options, code) => {
    expect(() => generate(model, { promptTokens: prompt, maxTokens: 1, ...options })).toThrow(
      expect.objectContaining({ code }),
    );
  });
});

describe("a generation that ends early", () => {
  it("leaves nothing on the device, however it ends", async () => {
    const { device, live } = trackedDevice(referenceDevice());
    const tracked = await goldenModel({}, device);
    await tokensOf({ maxTokens: 40 }, tracked);
    const before = live.size;
    const options = { promptTokens: prompt, maxTokens: 40, stopTokenIds: [] };

    for await (const _ of generate(tracked, options)) break;
    expect(live.size).toBe(before);

    const controller = new AbortController();
    const abortWhenReading = async () => {
      for await (const _ of generate(tracked, { ...options, signal: controller.signal })) {
        controller.abort(new Error("enough"));
      }
    };
    await expect(abortWhenReading()).rejects.toThrow("enough");
    expect(live.size).toBe(before);

    const cache = tracked.createCache({ capacity: 32, pageTokens: 8 });
    await expect(tokensOf({ maxTokens: 40, cache }, tracked)).rejects.toMatchObject({
      code: "CacheFull",
    });
    expect(cache.freeTokens).toBe(32);
    cache.destroy();
    expect(live.size).toBe(before);
  });

  it("shares a cache with other sequences", async () => {
    const cache = model.createCache({ capacity: 256 });
    const other = cache.open();
    model.device.release(model.forward(cache, [{ sequence: other, tokens: prompt }]));
    const free = cache.freeTokens;
    expect(await tokensOf({ cache })).toEqual(await tokensOf());
    expect(cache.freeTokens).toBe(free);
  });

  it("does nothing when the signal is aborted already", async () => {
    const signal = AbortSignal.abort(new Error("never"));
    await expect(tokensOf({ signal })).rejects.toThrow("never");
  });

  it("lets timers run, so that a timeout arrives although the device computes on this thread", async () => {
    const forever = async () => {
      for (;;) await tokensOf({ maxTokens: 200, signal });
    };
    const signal = AbortSignal.timeout(100);
    await expect(forever()).rejects.toMatchObject({ name: "TimeoutError" });
  });
});
