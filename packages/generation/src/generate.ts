import type { Tensor } from "@transmla/kernels";
import type { CacheSequence, PagedCache } from "@transmla/latent-cache";
import type { Model } from "@transmla/models";
import { checkCount, checkPrompt } from "./check-request";
import { EventLoop } from "./event-loop";
import { Sampler } from "./sampling";
import { checkSampling, type SamplingOptions } from "./sampling-options";

export interface GenerateOptions {
  /** `[tokens]`. Empty: the model's token for the beginning. */
  readonly promptTokens: Int32Array;
  /** Tokens to make at most; the end of the model's context may come first. */
  readonly maxTokens: number;
  /** Default: greedy. */
  readonly sampling?: SamplingOptions | undefined;
  /** Tokens that end the text; they are not part of it (default: those of the model's config). */
  readonly stopTokenIds?: readonly number[] | undefined;
  /** Aborting throws the signal's reason between two steps. */
  readonly signal?: AbortSignal | undefined;
  /** A cache that others use too (default: one of just the right size). */
  readonly cache?: PagedCache | undefined;
  /** Prompt tokens per step (default 128): bounds memory and the time between two looks at the signal. */
  readonly prefillChunk?: number | undefined;
}

/** What a generation did, up to now while it runs. */
export interface GenerationSummary {
  /** `stop`: a stop token; `length`: `maxTokens` or the end of the context; undefined: it has not ended by itself. */
  readonly finishReason: "stop" | "length" | undefined;
  readonly promptTokens: number;
  /** Tokens made. */
  readonly tokens: number;
  /** From the start to the choice of the first token, in seconds. */
  readonly prefillSeconds: number;
  /** For all steps after that, in seconds; the time that the reader takes between tokens does not count. */
  readonly decodeSeconds: number;
  /** Bytes of the cache in use at the end, other sequences of a shared cache included. */
  readonly kvCacheBytes: number;
}

/**
 * Continues a prompt, one token id at a time:
 *
 *     const generation = generate(model, { promptTokens, maxTokens: 100 });
 *     for await (const id of generation) …
 *     generation.summary.finishReason;
 *
 * The cache is released when the loop ends in whatever way. Throws GenerationError `InvalidOption`, `InvalidPrompt`,
 * `EmptyPrompt`, `PromptTooLong` before anything is computed; iterating throws `InvalidLogits`, the errors of
 * `Model.forward` and the signal's reason.
 */
export function generate(model: Model, options: GenerateOptions): Generation {
  return new Generation(model, options);
}

/** Made by `generate`. Each iteration generates anew. */
export class Generation implements AsyncIterable<number> {
  private readonly prompt: Int32Array;
  private readonly stopTokens: ReadonlySet<number>;
  private readonly limit: number;
  private readonly prefillChunk: number;
  private current: GenerationSummary;

  constructor(
    private readonly model: Model,
    private readonly options: GenerateOptions,
  ) {
    const { config } = model;
    this.prompt = checkPrompt(options.promptTokens, config);
    const maxTokens = checkCount("maxTokens", options.maxTokens);
    this.limit = Math.min(maxTokens, config.maxPositions - this.prompt.length);
    this.prefillChunk = checkCount("prefillChunk", options.prefillChunk ?? 128);
    this.stopTokens = new Set(options.stopTokenIds ?? config.eosTokenIds);
    checkSampling(options.sampling ?? {});
    this.current = this.unstarted();
  }

  get summary(): GenerationSummary {
    return this.current;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<number, void, undefined> {
    const { model, prompt, limit } = this;
    const { sampling, signal, cache: shared } = this.options;
    const sampler = new Sampler(sampling, prompt);
    this.current = this.unstarted();
    signal?.throwIfAborted();
    if (limit === 0) return this.update({ finishReason: "length" });
    const cache = shared ?? model.createCache({ capacity: prompt.length + limit });
    const sequence = cache.open();
    const eventLoop = new EventLoop();
    try {
      let start = performance.now();
      let logits = await this.prefill(cache, sequence, eventLoop);
      for (let tokens = 1; ; tokens++) {
        const token = await chooseToken(model, logits, sampler);
        this.addSeconds(tokens === 1 ? "prefillSeconds" : "decodeSeconds", start);
        this.update({ kvCacheBytes: cache.usedBytes });
        signal?.throwIfAborted();
        if (this.stopTokens.has(token)) return this.update({ finishReason: "stop" });
        this.update({ tokens, finishReason: tokens === limit ? "length" : undefined });
        yield token;
        if (tokens === limit) return;
        signal?.throwIfAborted();
        start = performance.now();
        await eventLoop.giveWay();
        logits = model.forward(cache, [{ sequence, tokens: Int32Array.of(token) }]);
      }
    } finally {
      sequence.release();
      if (shared === undefined) cache.destroy();
    }
  }

  /** Runs the prompt in chunks and returns the logits of its last token. */
  private async prefill(
    cache: PagedCache,
    sequence: CacheSequence,
    eventLoop: EventLoop,
  ): Promise<Tensor> {
    const { model, prompt, prefillChunk } = this;
    for (let start = 0; ; start += prefillChunk) {
      const tokens = prompt.subarray(start, start + prefillChunk);
      const logits = model.forward(cache, [{ sequence, tokens }]);
      if (start + prefillChunk >= prompt.length) return logits;
      model.device.release(logits);
      await eventLoop.giveWay();
      this.options.signal?.throwIfAborted();
    }
  }

  private unstarted(): GenerationSummary {
    return {
      finishReason: undefined,
      promptTokens: this.prompt.length,
      tokens: 0,
      prefillSeconds: 0,
      decodeSeconds: 0,
      kvCacheBytes: 0,
    };
  }

  private update(change: Partial<GenerationSummary>): void {
    this.current = { ...this.current, ...change };
  }

  private addSeconds(phase: "prefillSeconds" | "decodeSeconds", start: number): void {
    const seconds = (performance.now() - start) / 1000;
    this.update({ [phase]: this.current[phase] + seconds });
  }
}

/** Chooses from `[1, vocab]` logits and releases them; only one number leaves the device where the choice is greedy. */
async function chooseToken(model: Model, logits: Tensor, sampler: Sampler): Promise<number> {
  const { device } = model;
  try {
    if (!sampler.isArgmax) return sampler.choose(await device.read(logits));
    const index = device.argmax(logits);
    try {
      return (await device.read(index))[0]!;
    } finally {
      device.release(index);
    }
  } finally {
    device.release(logits);
  }
}
