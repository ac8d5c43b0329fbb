import { beforeAll, describe, expect, it } from "vitest";
import { referenceDevice } from "@transmla/kernels";
import type { Model } from "@transmla/models";
import { generate } from "../generate";
import { softmax } from "../sampling-filters";
import { goldenModel, goldenPrompt } from "../testing/golden-model";
import { trackedDevice } from "../testing/tracked-device";
import { Engine, type EngineOptions } from "./engine";
import { promptLookup } from "./prompt-lookup";
import type { EngineRequest, EngineRun, EngineToken, TokenConstraint } from "./request";

let model: Model;
let prompt: Int32Array;

beforeAll(async () => {
  model = await goldenModel();
  ({ prompt } = await goldenPrompt());
});

const cache = { capacity: 1024, pageTokens: 8 };

async function withEngine<Result>(
  options: Partial<EngineOptions>,
  body: (engine: Engine) => Promise<Result>,
): Promise<Result> {
  const engine = new Engine(model, { cache, ...options });
  try {
    return await body(engine);
  } finally {
    await engine.close();
  }
}

/** Tokens of every choice. */
async function collect(run: EngineRun): Promise<number[][]> {
  const tokens: number[][] = run.summaries.map(() => []);
  for await (const { choice, token } of run) tokens[choice]!.push(token);
  return tokens;
}

async function read(run: EngineRun): Promise<EngineToken[]> {
  const tokens: EngineToken[] = [];
  for await (const token of run) tokens.push(token);
  return tokens;
}

const request = (options: Partial<EngineRequest> = {}): EngineRequest => ({
  promptTokens: prompt,
  maxTokens: 12,
  stopTokenIds: [],
  ...options,
});

async function generated(options: Partial<EngineRequest> = {}): Promise<number[]> {
  const tokens: number[] = [];
  for await (const token of generate(model, request(options))) tokens.push(token);
  return tokens;
}

/** Several prompts, some of which begin alike. */
const prompts = () =>
  Array.from({ length: 9 }, (_, i) =>
    i % 3 === 0 ? prompt.subarray(i) : Int32Array.of(...prompt.subarray(0, 9 + i), i, 2 * i),
  );

describe("Engine", () => {
  it("makes for every request what it would make alone", async () => {
    const alone = await Promise.all(prompts().map((promptTokens) => generated({ promptTokens })));
    for (const stepTokens of [1, 7, 64]) {
      await withEngine({ stepTokens, maxRunning: 4 }, async (engine) => {
        const runs = prompts().map((promptTokens) => engine.submit(request({ promptTokens })));
        const together = await Promise.all(runs.map(collect));
        expect(together).toEqual(alone.map((tokens) => [tokens]));
      });
    }
  });

  it("chooses at random as if a request were alone", async () => {
    const sampling = { temperature: 1.2, topK: 20 };
    const alone = await Promise.all(
      [1, 2, 3].map((seed) => generated({ sampling: { ...sampling, seed } })),
    );
    await withEngine({}, async (engine) => {
      const runs = [1, 2, 3].map((seed) =>
        engine.submit(request({ sampling: { ...sampling, seed } })),
      );
      expect((await Promise.all(runs.map(collect))).flat()).toEqual(alone);
      // Choices of one request have the streams of the seeds that follow.
      const run = engine.submit(request({ n: 3, sampling: { ...sampling, seed: 1 } }));
      expect(await collect(run)).toEqual(alone);
    });
  });

  it("computes a shared prompt once and a known one not at all", async () => {
    await withEngine({}, async (engine) => {
      const first = engine.submit(request({ n: 2 }));
      await collect(first);
      expect(first.summaries.map(({ cachedTokens }) => cachedTokens)).toEqual([0, 0]);
      const again = engine.submit(request());
      expect(await collect(again)).toEqual([await generated()]);
      // One token has to be computed for its logits.
      expect(again.summaries[0]!.cachedTokens).toBe(prompt.length - 1);
      expect(engine.load).toMatchObject({ running: 0, waiting: 0, reservedTokens: 0 });
      expect(engine.load.cachedTokens).toBeGreaterThan(prompt.length);
    });
  });

  it("goes on with a conversation without computing it again", async () => {
    await withEngine({}, async (engine) => {
      const [answer] = await collect(engine.submit(request()));
      const promptTokens = Int32Array.of(...prompt, ...answer!, 5, 6, 7);
      const next = engine.submit(request({ promptTokens }));
      expect(await collect(next)).toEqual([await generated({ promptTokens })]);
      // All but the three new ones and the last token of the answer, which nothing had followed.
      expect(next.summaries[0]!.cachedTokens).toBe(promptTokens.length - 4);
    });
  });

  it("computes long prompts beside the tokens of others", async () => {
    await withEngine({ stepTokens: 8 }, async (engine) => {
      const order: string[] = [];
      const follow = async (name: string, run: EngineRun) => {
        for await (const _ of run) order.push(name);
      };
      const long = Int32Array.from({ length: 200 }, (_, i) => i % 90);
      const short = follow("short", engine.submit(request({ maxTokens: 20 })));
      const late = follow("long", engine.submit(request({ promptTokens: long, maxTokens: 2 })));
      await Promise.all([short, late]);
      expect(order.indexOf("long")).toBeGreaterThan(10);
    });
  });

  it("ends at stop tokens, at the limit and at the end of the context", async () => {
    const whole = await generated();
    const stop = whole.find((token, i) => i > 0 && whole.indexOf(token) === i)!;
    await withEngine({}, async (engine) => {
      const stopped = engine.submit(request({ stopTokenIds: [stop] }));
      expect(await collect(stopped)).toEqual([whole.slice(0, whole.indexOf(stop))]);
      expect(stopped.summaries[0]!.finishReason).toBe("stop");
      const long = Int32Array.from({ length: 250 }, (_, i) => (i % 90) + 1);
      const ended = engine.submit(request({ promptTokens: long, maxTokens: 100 }));
      expect((await collect(ended))[0]).toHaveLength(6);
      expect(ended.summaries[0]).toMatchObject({
        finishReason: "length",
        promptTokens: 250,
        tokens: 6,
      });
      const full = engine.submit(request({ promptTokens: new Int32Array(256).fill(5) }));
      expect(await collect(full)).toEqual([[]]);
      expect(full.summaries[0]).toMatchObject({ finishReason: "length", tokens: 0 });
    });
  });

  it("gives log-probabilities of the model, whatever the sampling", async () => {
    const whole = model.createCache({ capacity: 64 });
    const logits = await model.device.read(
      model.forward(whole, [{ sequence: whole.open(), tokens: prompt }]),
    );
    whole.destroy();
    const expected = [...softmax(logits)].map((p, token) => ({ token, logprob: Math.log(p) }));
    const best = expected.toSorted((a, b) => b.logprob - a.logprob).slice(0, 3);
    await withEngine({}, async (engine) => {
      const sampling = { temperature: 2, seed: 1 };
      const [first] = await read(engine.submit(request({ logprobs: 3, sampling })));
      expect(first!.logprob).toBeCloseTo(expected[first!.token]!.logprob, 5);
      expect(first!.top!.map(({ token }) => token)).toEqual(best.map(({ token }) => token));
      first!.top!.forEach(({ logprob }, i) => expect(logprob).toBeCloseTo(best[i]!.logprob, 5));
      const [none] = await read(engine.submit(request({ logprobs: 0 })));
      expect(none!.top).toEqual([]);
      expect(none!.logprob).toBeCloseTo(best[0]!.logprob, 5);
    });
  });

  it("obeys constraints, each choice its own", async () => {
    await withEngine({}, async (engine) => {
      const sampling = { temperature: 5, seed: 3 };
      const run = engine.submit(request({ n: 3, sampling, constraint: rising(2, 5) }));
      for (const tokens of await collect(run)) {
        expect(tokens).toHaveLength(5);
        expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
        expect(new Set(tokens).size).toBe(5);
      }
      expect(run.summaries.map(({ finishReason }) => finishReason)).toEqual(Array(3).fill("stop"));
    });
  });

  it("makes the same text with guesses, at random too", async () => {
    const speculation = { drafter: promptLookup(), tokens: 5 };
    const sampling = { temperature: 0.7, seed: 5, repetitionPenalty: 1.1 };
    const repeated = Int32Array.of(...prompt, ...prompt);
    const expected = [
      await generated({ maxTokens: 40 }),
      await generated({ maxTokens: 40, promptTokens: repeated }),
      await generated({ maxTokens: 40, sampling }),
    ];
    await withEngine({ speculation }, async (engine) => {
      const runs = [
        engine.submit(request({ maxTokens: 40 })),
        engine.submit(request({ maxTokens: 40, promptTokens: repeated })),
        engine.submit(request({ maxTokens: 40, sampling })),
      ];
      expect((await Promise.all(runs.map(collect))).flat()).toEqual(expected);
    });
  });
});

describe("a window that slides", () => {
  const window = { sinks: 4, tokens: 40 };

  it("goes on beyond the model's context, in a cache that does not grow", async () => {
    // 8 sinks, 40 tokens and a page: at most 56 tokens, where the model has 256.
    await withEngine({ window, cache: { capacity: 56, pageTokens: 8 } }, async (engine) => {
      const run = engine.submit(request({ maxTokens: 400 }));
      const [tokens] = (await collect(run)) as [number[]];
      expect(tokens).toHaveLength(400);
      expect(run.summaries[0]!.finishReason).toBe("length");
      // Nothing is dropped before 56 tokens are there: 24 of the prompt, and 32.
      const whole = await generated({ maxTokens: 70 });
      expect(tokens.slice(0, 33)).toEqual(whole.slice(0, 33));
      expect(tokens.slice(33, 70)).not.toEqual(whole.slice(33));
      const long = Int32Array.from({ length: 300 }, (_, i) => (i % 90) + 1);
      const [more] = await collect(engine.submit(request({ promptTokens: long, maxTokens: 5 })));
      expect(more).toHaveLength(5);
      expect(engine.load.reservedTokens).toBe(0);
    });
  });

  it("says the same alone or not, in pieces or not, with guesses or without", async () => {
    const long = Int32Array.from({ length: 150 }, (_, i) => (7 * i) % 90);
    const all = [...prompts(), long].map((promptTokens) =>
      request({ promptTokens, maxTokens: 60 }),
    );
    const texts = (options: Partial<EngineOptions>, requests: readonly EngineRequest[]) =>
      withEngine({ window, ...options }, (engine) =>
        Promise.all(requests.map((one) => collect(engine.submit(one)))),
      );
    const alone: number[][][] = [];
    for (const one of all) alone.push(...(await texts({}, [one])));
    expect(await texts({}, all)).toEqual(alone);
    expect(await texts({ stepTokens: 5 }, all)).toEqual(alone);
    expect(await texts({ speculation: { drafter: promptLookup() } }, all)).toEqual(alone);
    const [forks] = await texts({}, [{ ...all[0]!, n: 2 }]);
    expect(forks).toEqual([alone[0]![0], alone[0]![0]]);
  });

  it("must fit the model", () => {
    expect(() => new Engine(model, { cache, window: { tokens: 241 } })).toThrow(
      expect.objectContaining({ code: "InvalidOption" }),
    );
  });
});

/** Tokens that rise by at least one and at most `step`, `count` of them. */
function rising(step: number, count: number, last = 0, made = 0): TokenConstraint {
  return {
    mask: (logits) =>
      logits.forEach((_, i) => (i > last && i <= last + step ? 0 : (logits[i] = -Infinity))),
    accept(token) {
      last = token;
      made++;
    },
    get complete() {
      return made === count;
    },
    fork: () => rising(step, count, last, made),
  };
}

describe("Engine.save and restore", () => {
  it("go on in another engine without computing anything again", async () => {
    let answer: number[] = [];
    const saved = await withEngine({}, async (engine) => {
      [answer] = (await collect(engine.submit(request()))) as [number[]];
      return engine.save(Int32Array.of(...prompt, ...answer));
    });
    const other = await goldenModel();
    const engine = new Engine(other, { cache: { capacity: 512, pageTokens: 64 } });
    // The last token of the answer was never in the cache: nothing followed it.
    const held = Int32Array.of(...prompt, ...answer.slice(0, -1));
    expect(await engine.restore(saved)).toEqual(held);
    const promptTokens = Int32Array.of(...prompt, ...answer, 5, 6, 7);
    const next = engine.submit(request({ promptTokens }));
    expect(await collect(next)).toEqual([await generated({ promptTokens })]);
    expect(next.summaries[0]!.cachedTokens).toBe(held.length);
    await engine.close();
  });

  it("refuse the snapshot of another model", async () => {
    const saved = await withEngine({}, async (engine) => {
      await collect(engine.submit(request()));
      return engine.save(prompt);
    });
    const other = await goldenModel({ rope_theta: 5000 });
    expect(await other.fingerprint()).not.toBe(await model.fingerprint());
    const engine = new Engine(other, { cache });
    await expect(engine.restore(saved)).rejects.toMatchObject({ code: "SnapshotMismatch" });
    await engine.close();
    await withEngine({}, (same) => same.restore(saved));
  });

  it("never take pages that were promised", async () => {
    const saved = await withEngine({}, async (engine) => {
      await collect(engine.submit(request()));
      return engine.save(prompt);
    });
    // The run waits for its guesses until the snapshot was refused.
    let goOn!: () => void;
    const refused = new Promise<void>((resolve) => (goOn = resolve));
    const propose = () => refused.then(() => new Int32Array());
    const speculation = { drafter: { open: () => ({ propose, close() {} }) } };
    await withEngine({ cache: { capacity: 56, pageTokens: 8 }, speculation }, async (engine) => {
      const promptTokens = Int32Array.of(7, ...prompt.subarray(1));
      const run = collect(engine.submit(request({ promptTokens, maxTokens: 30 })));
      const restored = engine.restore(saved).finally(goOn);
      await expect(restored).rejects.toMatchObject({ code: "CacheFull" });
      await run;
      expect(await engine.restore(saved)).toEqual(prompt);
    });
  });
});

describe("Engine under load", () => {
  it("starts a request only when its cache is sure to suffice", async () => {
    // 24 + 12 tokens are 5 pages of 8; two requests fit into 13, the third waits.
    await withEngine({ cache: { capacity: 104, pageTokens: 8 } }, async (engine) => {
      const others = [1, 2, 3].map((first) => Int32Array.of(first, ...prompt.subarray(1)));
      const runs = others.map((promptTokens) => engine.submit(request({ promptTokens })));
      const first = runs[0]![Symbol.asyncIterator]();
      await first.next();
      expect(engine.load).toMatchObject({
        running: 2,
        waiting: 1,
        reservedTokens: 80,
        capacityTokens: 104,
      });
      await Promise.all([collectRest(first), ...runs.slice(1).map(collect)]);
      expect(runs[2]!.summaries[0]!.timings.queued).toBeGreaterThan(0);
      expect(engine.load.reservedTokens).toBe(0);
    });
  });

  it("shares what prompts have in common when it counts", async () => {
    await withEngine({ cache: { capacity: 72, pageTokens: 8 } }, async (engine) => {
      // 3 whole pages are shared, each choice adds two: 9 pages.
      expect(await collect(engine.submit(request({ n: 3 })))).toEqual(
        Array(3).fill(await generated()),
      );
      expect(() => engine.submit(request({ n: 4 }))).toThrow(
        expect.objectContaining({ code: "CacheTooSmall" }),
      );
    });
  });

  it("refuses what it cannot queue", async () => {
    await withEngine({ maxWaiting: 2, maxRunning: 1 }, async (engine) => {
      const runs = [engine.submit(request()), engine.submit(request())];
      expect(() => engine.submit(request())).toThrow(
        expect.objectContaining({ code: "Overloaded" }),
      );
      await Promise.all(runs.map(collect));
      await collect(engine.submit(request()));
    });
  });

  it.each<[string, Partial<EngineRequest>, string]>([
    ["no tokens to make", { maxTokens: 0 }, "InvalidOption"],
    ["half a choice", { n: 0.5 }, "InvalidOption"],
    ["no choice", { n: 0 }, "InvalidOption"],
    ["fewer than no alternatives", { logprobs: -1 }, "InvalidOption"],
    ["a negative temperature", { sampling: { temperature: -1 } }, "InvalidOption"],
    ["a prompt beyond the context", { promptTokens: new Int32Array(257) }, "PromptTooLong"],
    ["a token beyond the vocabulary", { promptTokens: Int32Array.of(96) }, "InvalidPrompt"],
  ])("refuses %s before it begins", async (_, options, code) => {
    await withEngine({}, async (engine) => {
      expect(() => engine.submit(request(options))).toThrow(expect.objectContaining({ code }));
      expect(engine.load.waiting).toBe(0);
    });
  });

  it("frees the place of a request that is aborted, left or fails", async () => {
    await withEngine({}, async (engine) => {
      const controller = new AbortController();
      const aborted = engine.submit(request({ maxTokens: 200, signal: controller.signal }));
      const left = engine.submit(request({ maxTokens: 200 }));
      const constraint = {
        ...rising(1, 3),
        mask: () => {
          throw new Error("no grammar");
        },
      };
      const failing = engine.submit(request({ maxTokens: 200, constraint }));
      const staying = engine.submit(request({ maxTokens: 30 }));
      const reading = (async () => {
        for await (const _ of aborted) controller.abort(new Error("enough"));
      })();
      await expect(reading).rejects.toThrow("enough");
      for await (const _ of left) break;
      await expect(collect(failing)).rejects.toThrow("no grammar");
      expect((await collect(staying))[0]).toEqual(await generated({ maxTokens: 30 }));
      expect(engine.load).toMatchObject({ running: 0, waiting: 0, reservedTokens: 0 });
      expect(() => engine.submit(request({ signal: controller.signal }))).toThrow("enough");
    });
  });

  it("drains: what was taken is finished, nothing more is taken", async () => {
    const engine = new Engine(model, { cache });
    const run = engine.submit(request());
    const drained = engine.drain();
    expect(() => engine.submit(request())).toThrow(
      expect.objectContaining({ code: "EngineClosed" }),
    );
    await drained;
    expect(await collect(run)).toEqual([await generated()]);
    await engine.close();
  });

  it("leaves nothing on the device when it is closed in the middle", async () => {
    const { device, live } = trackedDevice(referenceDevice());
    const tracked = await goldenModel({}, device);
    const before = live.size;
    const engine = new Engine(tracked, { cache });
    const runs = [engine.submit(request({ maxTokens: 100, n: 2 })), engine.submit(request())];
    await runs[0]![Symbol.asyncIterator]().next();
    await engine.close();
    await expect(collect(runs[0]!)).rejects.toMatchObject({ code: "EngineClosed" });
    expect(live.size).toBe(before);
  });
});

async function collectRest(iterator: AsyncIterator<EngineToken>): Promise<void> {
  while (!(await iterator.next()).done);
}
