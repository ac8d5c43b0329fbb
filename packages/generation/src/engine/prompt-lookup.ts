import { checkCount } from "../check-request";
import type { Drafter } from "./drafter";

export interface PromptLookupOptions {
  /** Most tokens at the end that are looked for earlier in the text (default 3). */
  readonly longest?: number | undefined;
  /** Fewest (default 1). */
  readonly shortest?: number | undefined;
}

/**
 * Guesses that text repeats itself, as summaries, code and answers about a document do: the last tokens are looked for earlier
 * in the sequence, and what followed there is proposed (Saxena, "Prompt Lookup Decoding", 2023). It costs nothing but the
 * search. Throws GenerationError `InvalidOption`.
 */
export function promptLookup({ longest = 3, shortest = 1 }: PromptLookupOptions = {}): Drafter {
  checkCount("shortest", shortest);
  checkCount("longest", longest, shortest);
  return {
    open: () => ({
      async propose(tokens, count) {
        for (let size = longest; size >= shortest; size--) {
          const at = lastRepetition(tokens, size);
          if (at >= 0) return tokens.slice(at, at + count);
        }
        return new Int32Array(0);
      },
      close() {},
    }),
  };
}

/** Where the latest earlier occurrence of the last `size` tokens ends, or -1. */
function lastRepetition(tokens: Int32Array, size: number): number {
  const end = tokens.length - size;
  for (let start = end - 1; start >= 0; start--) {
    let same = 0;
    while (same < size && tokens[start + same] === tokens[end + same]) same++;
    if (same === size) return start + size;
  }
  return -1;
}
