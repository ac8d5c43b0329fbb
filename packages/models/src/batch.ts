import type { AttentionSequence } from "@transmla/kernels";
import type { CacheSequence } from "@transmla/latent-cache";
import { ModelsError } from "./errors";

/** The next tokens of one sequence: a whole prompt, a piece of it, or one generated token. */
export interface ModelStep {
  readonly sequence: CacheSequence;
  readonly tokens: Int32Array;
}

/** Steps laid end to end, as the device operations want them. */
export interface Batch {
  /** Token ids, `[tokens]`. */
  readonly ids: Int32Array;
  /** Position of every token, `[tokens]`. */
  readonly positions: Int32Array;
  /** Cache slot of every token, `[tokens]`. */
  readonly slots: Int32Array;
  readonly sequences: readonly AttentionSequence[];
  /** Row of the last token of every step, `[steps]`. */
  readonly lastRows: Int32Array;
}

/**
 * Appends the steps to their sequences and describes the batch. Nothing is appended when a step is refused.
 *
 * @throws ModelsError `InvalidTokens`, `ContextExceeded`; LatentCacheError `CacheFull`
 */
export function appendBatch(
  steps: readonly ModelStep[],
  limits: { readonly vocabSize: number; readonly maxPositions: number },
): Batch {
  for (const step of steps) checkStep(step, limits);
  const total = steps.reduce((sum, step) => sum + step.tokens.length, 0);
  const ids = new Int32Array(total);
  const positions = new Int32Array(total);
  const slots = new Int32Array(total);
  const lastRows = new Int32Array(steps.length);
  const sequences: AttentionSequence[] = [];
  const before = steps.map(({ sequence }) => sequence.length);
  try {
    let row = 0;
    for (const [index, { sequence, tokens }] of steps.entries()) {
      ids.set(tokens, row);
      positions.set(
        Int32Array.from(tokens, (_, t) => sequence.length + t),
        row,
      );
      slots.set(sequence.append(tokens.length), row);
      const { length, pages } = sequence;
      sequences.push({ queryStart: row, queryCount: tokens.length, length, pages });
      row += tokens.length;
      lastRows[index] = row - 1;
    }
  } catch (error) {
    for (const [index, { sequence }] of steps.entries()) {
      if (sequence.length > before[index]) sequence.truncate(before[index]);
    }
    throw error;
  }
  return { ids, positions, slots, sequences, lastRows };
}

function checkStep(
  { sequence, tokens }: ModelStep,
  { vocabSize, maxPositions }: { vocabSize: number; maxPositions: number },
): void {
  if (tokens.length === 0) {
    throw new ModelsError("InvalidTokens", "A step needs at least one token.");
  }
  const wrong = tokens.findIndex((id) => id < 0 || id >= vocabSize);
  if (wrong >= 0) {
    throw new ModelsError(
      "InvalidTokens",
      `Token ${wrong} of a step is ${tokens[wrong]}; the vocabulary has ${vocabSize} entries. Is this the model's tokenizer?`,
      { index: wrong, id: tokens[wrong], vocabSize },
    );
  }
  if (sequence.length + tokens.length > maxPositions) {
    throw new ModelsError(
      "ContextExceeded",
      `${sequence.length} + ${tokens.length} tokens exceed the model's ${maxPositions} positions.`,
      { length: sequence.length, tokens: tokens.length, maxPositions },
    );
  }
}
