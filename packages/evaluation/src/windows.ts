import type { PlaneStorage } from "@transmla/latent-cache";
import type { ModelConfig } from "@transmla/models";
import { EvaluationError } from "./errors";
import { EventLoop } from "./event-loop";
import type { OpenReader, Reader } from "./logit-source";

/** How far a long task is. */
export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}

/** How a text is run through a model; the same for every measure. */
export interface EvaluationOptions {
  /** Tokens per window, from 2 to the model's positions (default 512). */
  readonly context?: number | undefined;
  /** Only the first so many tokens of the text. */
  readonly maxTokens?: number | undefined;
  /** Tokens per step (default 128): `chunk * vocab` logits are in memory at a time, per model. */
  readonly chunk?: number | undefined;
  /** How the cache keeps its numbers, where a model is run (default: as the model was loaded for). */
  readonly cacheStorage?: PlaneStorage | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborting throws the signal's reason between two steps. */
  readonly signal?: AbortSignal | undefined;
}

/** Consecutive positions of one window. */
export interface Chunk {
  /** Of every reader: logits `[rows, vocab]`, or states `[rows, hidden]`. */
  readonly values: readonly Float32Array[];
  /** The token that follows each row within its window, `[rows]`, or `[rows - 1]` where the window ends. */
  readonly targets: Int32Array;
  readonly rows: number;
}

/**
 * The one definition of a text's windows: the token stream cut every `context` tokens, each window run from an empty
 * cache. The last one may be shorter; it counts from two tokens on.
 *
 * @throws EvaluationError InvalidOption, TooFewTokens, InvalidTokens
 */
export function planWindows(
  models: readonly { readonly config: ModelConfig }[],
  text: Int32Array,
  { context = 512, maxTokens = Infinity }: EvaluationOptions = {},
): Int32Array[] {
  const positions = Math.min(...models.map(({ config }) => config.maxPositions));
  const vocabSize = Math.min(...models.map(({ config }) => config.vocabSize));
  checkInteger("context", context, 2, positions);
  if (maxTokens !== Infinity) checkInteger("maxTokens", maxTokens, 1, Number.MAX_SAFE_INTEGER);
  const tokens = text.subarray(0, maxTokens);
  checkTokens(tokens, vocabSize);
  const count = Math.ceil(tokens.length / context);
  return Array.from({ length: count }, (_, index) =>
    tokens.subarray(index * context, (index + 1) * context),
  ).filter((window) => window.length >= 2);
}

/**
 * Runs the windows through every reader, chunk by chunk, and shows each chunk to `visit` in order.
 *
 * @throws EvaluationError InvalidOption; the errors of `Model.forward`; the signal's reason
 */
export async function forEachChunk(
  openers: readonly OpenReader[],
  windows: readonly Int32Array[],
  { chunk = 128, onProgress, signal }: EvaluationOptions,
  visit: (chunk: Chunk) => void,
): Promise<void> {
  checkInteger("chunk", chunk, 1, Number.MAX_SAFE_INTEGER);
  const total = windows.reduce((sum, window) => sum + window.length, 0);
  const capacity = Math.max(...windows.map((window) => window.length));
  const eventLoop = new EventLoop();
  const readers: Reader[] = [];
  let done = 0;
  try {
    for (const open of openers) readers.push(open({ capacity, total }));
    for (const window of windows) {
      for (const reader of readers) reader.startWindow();
      for (let start = 0; start < window.length; start += chunk) {
        signal?.throwIfAborted();
        const tokens = window.subarray(start, start + chunk);
        const values: Float32Array[] = [];
        for (const reader of readers) values.push(await reader.read(tokens));
        const targets = window.subarray(start + 1, start + tokens.length + 1);
        visit({ values, targets, rows: tokens.length });
        done += tokens.length;
        onProgress?.({ done, total, unit: "tokens" });
        await eventLoop.giveWay();
      }
    }
  } finally {
    for (const reader of readers) reader.destroy();
  }
}

function checkInteger(option: string, value: number, min: number, max: number): void {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return;
  throw new EvaluationError(
    "InvalidOption",
    `${option} must be a whole number from ${min} to ${max}, got ${value}.`,
    { option, value, min, max },
  );
}

function checkTokens(tokens: Int32Array, vocabSize: number): void {
  if (tokens.length < 2) {
    throw new EvaluationError(
      "TooFewTokens",
      `The text has ${tokens.length} tokens, at least 2 are needed. Use a longer text.`,
      { tokens: tokens.length, needed: 2 },
    );
  }
  const bad = tokens.findIndex((token) => token < 0 || token >= vocabSize);
  if (bad < 0) return;
  throw new EvaluationError(
    "InvalidTokens",
    `Token ${bad} of the text is ${tokens[bad]}, the vocabulary has ${vocabSize} tokens. Use the model's own tokenizer.`,
    { index: bad, token: tokens[bad], vocabSize },
  );
}
