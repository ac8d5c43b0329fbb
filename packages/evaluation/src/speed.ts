import type { CacheSequence, PagedCache } from "@transmla/latent-cache";
import type { Model } from "@transmla/models";
import { EvaluationError } from "./errors";
import type { Progress } from "./windows";

export interface SpeedOptions {
  /** Cached tokens at which decoding is measured, ascending or not. */
  readonly contexts: readonly number[];
  /** Tokens decoded at each context (default 16). */
  readonly decodeTokens?: number | undefined;
  /** Tokens per prefill step (default 128). */
  readonly chunk?: number | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Tokens per prefill step. */
export const SPEED_CHUNK = 128;

/** Speed of one sequence at one context. */
export interface SpeedRow {
  /** Tokens in the cache before the first decoded one. */
  readonly context: number;
  /** Tokens that were there when filling the cache up to here began: the context before this one. */
  readonly filledFrom: number;
  /** Tokens per second of that. */
  readonly prefill: number;
  /** Tokens per second of decoding, by the median step. */
  readonly decode: number;
  /** Seconds of the median decoding step. */
  readonly decodeSeconds: number;
}

/**
 * Measures prefill and decoding of one sequence. The cache grows from context to context, so the whole costs one prefill of the
 * longest; decoded tokens are forgotten again. Token ids are arbitrary: speed does not depend on them.
 *
 * @throws EvaluationError `InvalidOption` for contexts the model cannot hold; the signal's reason
 */
export async function measureSpeed(model: Model, options: SpeedOptions): Promise<SpeedRow[]> {
  const { decodeTokens = 16, signal } = options;
  const contexts = [...new Set(options.contexts)].toSorted((a, b) => a - b);
  checkContexts(contexts, model.config.maxPositions - decodeTokens);
  const longest = contexts.at(-1)!;
  const cache = model.createCache({ capacity: longest + decodeTokens });
  const rows: SpeedRow[] = [];
  try {
    const sequence = cache.open();
    for (const context of contexts) {
      const before = sequence.length;
      const start = performance.now();
      await fill(model, cache, sequence, context, longest, options);
      const prefill = (1000 * (context - before)) / (performance.now() - start);
      const decodeSeconds = await decode(model, cache, sequence, decodeTokens, signal);
      rows.push({ context, filledFrom: before, prefill, decode: 1 / decodeSeconds, decodeSeconds });
    }
    return rows;
  } finally {
    cache.destroy();
  }
}

function checkContexts(contexts: readonly number[], largest: number): void {
  const wrong = contexts.find(
    (context) => !Number.isSafeInteger(context) || context < 1 || context > largest,
  );
  if (wrong === undefined && contexts.length > 0) return;
  throw new EvaluationError(
    "InvalidOption",
    `Contexts must be whole numbers from 1 to ${largest} (the model's positions less the tokens decoded), got ${wrong ?? "none"}.`,
    { context: wrong, largest },
  );
}

async function fill(
  model: Model,
  cache: PagedCache,
  sequence: CacheSequence,
  context: number,
  total: number,
  { chunk = SPEED_CHUNK, onProgress, signal }: SpeedOptions,
): Promise<void> {
  while (sequence.length < context) {
    signal?.throwIfAborted();
    const count = Math.min(chunk, context - sequence.length);
    const tokens = Int32Array.from({ length: count }, (_, i) =>
      tokenAt(model, sequence.length + i),
    );
    await finish(model, cache, sequence, tokens);
    onProgress?.({ done: sequence.length, total, unit: "tokens" });
  }
}

/** Median seconds of decoding one token. */
async function decode(
  model: Model,
  cache: PagedCache,
  sequence: CacheSequence,
  count: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const context = sequence.length;
  const seconds: number[] = [];
  for (let step = 0; step < count; step++) {
    signal?.throwIfAborted();
    const start = performance.now();
    await finish(model, cache, sequence, Int32Array.of(tokenAt(model, context + step)));
    seconds.push((performance.now() - start) / 1000);
  }
  sequence.truncate(context);
  return seconds.toSorted((a, b) => a - b)[Math.floor(count / 2)]!;
}

/** Runs a step as greedy generation does: the best next token is read back. */
async function finish(
  model: Model,
  cache: PagedCache,
  sequence: CacheSequence,
  tokens: Int32Array,
): Promise<void> {
  const { device } = model;
  const best = device.scope(() => device.argmax(model.forward(cache, [{ sequence, tokens }])));
  await device.read(best);
  device.release(best);
}

function tokenAt(model: Model, position: number): number {
  return (position * 7919 + 13) % model.config.vocabSize;
}
