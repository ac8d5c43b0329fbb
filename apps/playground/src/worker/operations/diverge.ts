import { argmax, compareRows, negativeLogLikelihood, rowOf } from "@transmla/evaluation";
import type { Model } from "@transmla/models";
import { PlaygroundError } from "../failure";
import { progressOf, type Operation } from "../operation";

/** A token of a text and what the models thought before it came. */
export interface TokenDivergence {
  readonly id: number;
  readonly text: string;
  /** Absent for the first token, before which nothing was known. */
  readonly before?: {
    /** `KL(original ‖ converted)` of the two predictions, in nats. */
    readonly kl: number;
    /** Probability of the token by either. */
    readonly original: number;
    readonly converted: number;
    /** The token that either found likeliest. */
    readonly likeliestOriginal: string;
    readonly likeliestConverted: string;
  };
}

/** Tokens per step: bounds the logits in memory. */
const CHUNK = 128;

/**
 * Compares the predictions of both models before every token of a text.
 *
 * @throws PlaygroundError `NoModel`, `DifferentTokenizers`, `TextTooShort`; the signal's reason
 */
export const divergeText: Operation<
  { readonly tokens: readonly number[] },
  readonly TokenDivergence[]
> = async (bench, { tokens }, running) => {
  const { signal } = running;
  const a = await bench.loaded("original", signal, progressOf("Loading the original", running));
  const b = await bench.loaded("converted", signal, progressOf("Loading the converted", running));
  const { vocabSize } = a.model.config;
  if (b.model.config.vocabSize !== vocabSize) {
    const message = `${a.name} and ${b.name} have different vocabularies; open a model that was converted from this one.`;
    throw new PlaygroundError("DifferentTokenizers", message);
  }
  if (tokens.length < 2) throw new PlaygroundError("TextTooShort", "Write at least two tokens.");
  const ids = Int32Array.from(tokens);
  const rowsA = await logitsOf(a.model, ids, signal);
  const rowsB = await logitsOf(b.model, ids, signal);
  const text = (id: number) => a.tokenizer.decode([id]);
  return tokens.map((id, index) => {
    if (index === 0) return { id, text: text(id) };
    const [rowA, rowB] = [rowsA, rowsB].map((rows) => rowOf(rows, index - 1, vocabSize)) as [
      ReturnType<typeof rowOf>,
      ReturnType<typeof rowOf>,
    ];
    const { kl, logSumA, logSumB } = compareRows(rowA, rowB);
    const before = {
      kl,
      original: Math.exp(-negativeLogLikelihood(rowA, id, logSumA)),
      converted: Math.exp(-negativeLogLikelihood(rowB, id, logSumB)),
      likeliestOriginal: text(argmax(rowA)),
      likeliestConverted: text(argmax(rowB)),
    };
    return { id, text: text(id), before };
  });
};

/** `[tokens, vocab]` */
async function logitsOf(
  model: Model,
  tokens: Int32Array,
  signal: AbortSignal,
): Promise<Float32Array> {
  const { device, config } = model;
  const cache = model.createCache({ capacity: tokens.length });
  const sequence = cache.open();
  const logits = new Float32Array(tokens.length * config.vocabSize);
  try {
    for (let start = 0; start < tokens.length; start += CHUNK) {
      signal.throwIfAborted();
      const piece = tokens.subarray(start, start + CHUNK);
      const tensor = model.forward(cache, [{ sequence, tokens: piece }], "all");
      const at = start * config.vocabSize;
      await device.read(tensor, logits.subarray(at, at + piece.length * config.vocabSize));
      device.release(tensor);
    }
  } finally {
    cache.destroy();
  }
  return logits;
}
