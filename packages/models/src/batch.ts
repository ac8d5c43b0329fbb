import type { AttentionSequence } from "@transmla/kernels";
import type { StoredSequence } from "@transmla/latent-cache";
import { ModelsError } from "./errors";

/** The next tokens of one sequence: a whole prompt, a piece of it, or one generated token. */
export interface ModelStep {
  readonly sequence: Pick<StoredSequence, "length" | "pages" | "append" | "truncate">;
  readonly tokens: Int32Array;
  /** Of how many of the last tokens the logits are wanted (default 1). */
  readonly outputs?: number | undefined;
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
  /** Rows of the tokens whose logits are wanted, step by step: `outputs` of each. */
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
  const lastRows: number[] = [];
  const sequences: AttentionSequence[] = [];
  const before = steps.map(({ sequence }) => sequence.length);
  try {
    let row = 0;
    for (const { sequence, tokens, outputs = 1 } of steps) {
      ids.set(tokens, row);
      positions.set(
        Int32Array.from(tokens, (_, t) => sequence.length + t),
        row,
      );
      slots.set(sequence.append(tokens), row);
      const { length, pages } = sequence;
      sequences.push({ queryStart: row, queryCount: tokens.length, length, pages });
      row += tokens.length;
      for (let last = row - outputs; last < row; last++) lastRows.push(last);
    }
  } catch (error) {
    for (const [index, { sequence }] of steps.entries()) {
      if (sequence.length > before[index]) sequence.truncate(before[index]);
    }
    throw error;
  }
  return { ids, positions, slots, sequences, lastRows: Int32Array.from(lastRows) };
}

function checkStep(
  { sequence, tokens, outputs = 1 }: ModelStep,
  { vocabSize, maxPositions }: { vocabSize: number; maxPositions: number },
): void {
  if (tokens.length === 0) {
    throw new ModelsError("InvalidTokens", "A step needs at least one token.");
  }
  if (!Number.isSafeInteger(outputs) || outputs < 1 || outputs > tokens.length) {
    throw new ModelsError(
      "InvalidTokens",
      `A step of ${tokens.length} tokens cannot give logits of ${outputs}.`,
      { tokens: tokens.length, outputs },
    );
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
