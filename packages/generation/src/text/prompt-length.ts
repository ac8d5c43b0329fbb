import { GenerationError } from "../errors";
import type { Tokenizer } from "../tokenizer/tokenizer";

/** Characters of a slice: what a tokenizer splits in a few milliseconds even without a space in it. */
const sliceCharacters = 4096;
/** Tokens that cutting may add to a slice at most, rounded up. */
const cutTokens = 4;

/**
 * Refuses a text that is much too long before it is encoded as a whole: the time for a long word grows with the square of its length,
 * so that a megabyte without a space would take minutes. Slices are counted only until it is clear.
 *
 * @throws GenerationError `PromptTooLong`, `UnknownToken`
 */
export function checkPromptLength(tokenizer: Tokenizer, text: string, maxPositions: number): void {
  if (text.length <= sliceCharacters) return;
  let tokens = 0;
  for (let start = 0; start < text.length; start += sliceCharacters) {
    const slice = text.slice(start, start + sliceCharacters);
    tokens += tokenizer.encode(slice, { addSpecialTokens: false }).length - cutTokens;
    if (tokens <= maxPositions) continue;
    throw new GenerationError(
      "PromptTooLong",
      `The prompt has more than ${maxPositions} tokens, which is what the model can see. Shorten the prompt.`,
      { characters: text.length, maxPositions },
    );
  }
}
