import { GenerationError } from "../errors";
import { isObject } from "./json";

/**
 * Refuses patterns that JavaScript's backtracking could follow for ever. A repeated group that holds another choice, by a quantifier or an
 * alternative, can match the same text in exponentially many ways: `(a+)+`, `(a|aa)*`. Published tokenizers have no such group.
 *
 * @param part a normaliser, pre-tokenizer or decoder of `tokenizer.json`
 * @throws GenerationError UnsupportedTokenizer
 */
export function checkPatterns(part: unknown): void {
  if (Array.isArray(part)) return part.forEach(checkPatterns);
  if (!isObject(part)) return;
  const pattern = part["Regex"];
  if (typeof pattern === "string" && repeatsChoices(pattern)) {
    throw new GenerationError(
      "UnsupportedTokenizer",
      `tokenizer.json: the pattern ${JSON.stringify(pattern.slice(0, 100))} repeats a group that has choices, which can take for ever.`,
      { pattern },
    );
  }
  Object.values(part).forEach(checkPatterns);
}

/** Whether some repeated group has a quantifier or an alternative inside. */
export function repeatsChoices(pattern: string): boolean {
  /** For every open group, and the pattern itself, whether there was a choice in it. */
  const choices = [false];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at]!;
    if (character === "\\") at++;
    else if (character === "[") at = endOfClass(pattern, at);
    else if (character === "(") {
      choices.push(false);
      // The mark of a group that captures nothing is no quantifier.
      if (pattern[at + 1] === "?") at++;
    } else if (character === ")") {
      const chose = choices.pop() ?? false;
      if (chose && isRepetition(pattern, at + 1)) return true;
      choices[choices.length - 1] ||= chose;
    } else if ("*+?|".includes(character) || isRepetition(pattern, at)) {
      choices[choices.length - 1] = true;
    }
  }
  return false;
}

const isRepetition = (pattern: string, at: number) =>
  /^(?:[*+]|\{\d+(?:,\d*)?\})/.test(pattern.slice(at, at + 24));

function endOfClass(pattern: string, start: number): number {
  let at = start + 1;
  while (at < pattern.length && pattern[at] !== "]") at += pattern[at] === "\\" ? 2 : 1;
  return at;
}
