import { describe, expect, it } from "vitest";
import { checkPatterns, repeatsChoices } from "./pattern-safety";
import { gpt2Words } from "./rust-parity";

describe("repeatsChoices", () => {
  it.each([
    "(a+)+$",
    "(a*)*b",
    "(?:a|aa)+$",
    "(?:a?b?)*c",
    "((?:x{1,9})y){2,}",
    "(?<word>\\p{L}+\\s?)+",
    "(([a-z])+.)+[A-Z]",
  ])("finds %s", (pattern) => expect(repeatsChoices(pattern)).toBe(true));

  it.each([
    gpt2Words,
    // As in the tokenizers of Llama 3, DeepSeek and GPT-4o.
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}]*[\\p{Ll}\\p{Lm}]+(?i:'s|'t)?|\\p{N}{1,3}",
    "[(a+)+]+",
    "\\(a+\\)+",
    "(?:ab)+",
    "(a|b)c+",
    "x{3}y",
  ])("takes %s", (pattern) => expect(repeatsChoices(pattern)).toBe(false));
});

it("looks into every part of a description", () => {
  const nested = { type: "Sequence", pretokenizers: [{ pattern: { Regex: "(a+)+" } }] };
  expect(() => checkPatterns(nested)).toThrow(
    expect.objectContaining({ code: "UnsupportedTokenizer", context: { pattern: "(a+)+" } }),
  );
  expect(() => checkPatterns({ pattern: { String: "(a+)+" } })).not.toThrow();
});
