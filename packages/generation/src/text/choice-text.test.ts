import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sampleTokenizerJson } from "../testing/golden";
import { Tokenizer } from "../tokenizer/tokenizer";
import { ChoiceText } from "./choice-text";
import type { ChosenToken } from "./text-request";

const tokenizer = Tokenizer.fromJson(sampleTokenizerJson);
const prompt = tokenizer.encode("ROMEO:");
const chosen = (id: number): ChosenToken => ({
  id,
  text: tokenizer.decode([id]),
  bytes: [],
  logprob: -1,
  top: [],
});

/** Everything that is told of some tokens, as it comes. */
function told(tokens: Iterable<number>, stops: readonly string[]) {
  const choice = new ChoiceText(tokenizer, prompt, stops);
  const pieces = [];
  for (const id of tokens) {
    pieces.push(choice.push(id, chosen(id)));
    if (choice.stopped) break;
  }
  if (!choice.stopped) pieces.push(choice.end());
  return { pieces, stopped: choice.stopped, tokens: choice.tokens };
}

describe("ChoiceText", () => {
  it("tells tokens with the text that they begin", () => {
    const ids = [...tokenizer.encode("What is this? Ⅷ 🎉!")];
    const { pieces } = told(ids, []);
    expect(pieces.map(({ text }) => text).join("")).toBe("What is this? Ⅷ 🎉!");
    expect(pieces.flatMap(({ tokens }) => tokens.map(({ id }) => id))).toEqual(ids);
    for (const { text } of pieces) expect(text).not.toContain("\uFFFD");
  });

  it("tells nothing of the tokens of a stop string", () => {
    const ids = [...tokenizer.encode("one two. STOP three")];
    const { pieces, stopped, tokens } = told(ids, [" STOP"]);
    expect([stopped, pieces.map(({ text }) => text).join("")]).toEqual([true, "one two."]);
    const own = tokenizer.encode("one two.");
    expect(pieces.flatMap((piece) => piece.tokens.map(({ id }) => id))).toEqual([...own]);
    expect(tokens).toBeGreaterThan(own.length);
  });

  it("tells every token once and in order, whatever the stop strings", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", " ", "é", "🎉"), maxLength: 30 });
    const stops = fc.array(
      fc.string({ unit: fc.constantFrom("a", "b", " ", "é"), minLength: 1, maxLength: 3 }),
      { maxLength: 2 },
    );
    fc.assert(
      fc.property(letters, stops, (text, list) => {
        const ids = [...tokenizer.encode(text)];
        const { pieces, stopped } = told(ids, list);
        const given = pieces.flatMap(({ tokens }) => tokens.map(({ id }) => id));
        expect(given).toEqual(ids.slice(0, given.length));
        expect(stopped).toBe(list.some((stop) => text.includes(stop)));
        if (!stopped) expect(given).toHaveLength(ids.length);
        const certain = pieces.map((piece) => piece.text).join("");
        expect(text.startsWith(certain)).toBe(true);
        // The told tokens reach as far as the text, the last one perhaps beyond it.
        const reach = tokenizer.decode(given.slice(0, -1)).length;
        expect(reach).toBeLessThanOrEqual(certain.length);
      }),
    );
  });
});
