import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { byteLevelMetadata, sampleTokenizerJson, sentencePieceMetadata } from "../testing/golden";
import { StreamDecoder, type StreamDecoderOptions } from "./stream-decoder";
import { Tokenizer } from "./tokenizer";

const sample = Tokenizer.fromJson(sampleTokenizerJson);
const sentencePiece = Tokenizer.fromGguf(sentencePieceMetadata());
const tokenizers: [string, Tokenizer][] = [
  ["byte-level", sample],
  ["SentencePiece", sentencePiece],
];

function stream(
  tokenizer: Tokenizer,
  ids: Iterable<number>,
  options?: StreamDecoderOptions,
): string[] {
  const decoder = new StreamDecoder(tokenizer, options);
  return [...Array.from(ids, (id) => decoder.push(id)), decoder.flush()];
}

describe.each(tokenizers)("StreamDecoder over %s tokens", (_, tokenizer) => {
  it("gives whole characters that add up to the text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 20 }), (text) => {
        const ids = tokenizer.encode(text, { addSpecialTokens: false });
        const pieces = stream(tokenizer, ids);
        expect(pieces.join("")).toBe(tokenizer.decode(ids));
        if (!text.includes("\ufffd")) expect(pieces.join("")).not.toContain("\ufffd");
        expect(pieces.at(-1)).toBe("");
      }),
    );
  });

  it("agrees with decode on any ids whatever", () => {
    const id = fc.integer({ min: 0, max: tokenizer.vocabSize + 1 });
    fc.assert(
      fc.property(fc.array(id, { maxLength: 12 }), fc.boolean(), (ids, skipSpecialTokens) => {
        const pieces = stream(tokenizer, ids, { skipSpecialTokens });
        expect(pieces.join("")).toBe(tokenizer.decode(ids, { skipSpecialTokens }));
      }),
      { numRuns: 500 },
    );
  });

  it("continues a context as decode does", () => {
    const ids = tokenizer.encode("wherefore art thou 🎉 Romeo", { addSpecialTokens: false });
    for (let cut = 0; cut <= ids.length; cut++) {
      const [context, rest] = [ids.subarray(0, cut), ids.subarray(cut)];
      if (tokenizer.endsWithinCharacter([...context])) continue;
      const text = tokenizer.decode(context) + stream(tokenizer, rest, { context }).join("");
      expect(text).toBe(tokenizer.decode(ids));
    }
  });
});

describe("StreamDecoder", () => {
  it("holds the bytes of a character until the last one", () => {
    const ids = sample.encode("🎉");
    expect(ids).toHaveLength(4);
    expect(stream(sample, ids)).toEqual(["", "", "", "🎉", ""]);
  });

  it("gives a character that is never finished as U+FFFD at the end", () => {
    const ids = sample.encode("🎉").subarray(0, 3);
    expect(stream(sample, ids)).toEqual(["", "", "", "\ufffd"]);
  });

  it("keeps the space of a word that follows others", () => {
    const ids = sentencePiece.encode("thou art", { addSpecialTokens: false });
    expect(stream(sentencePiece, ids)).toEqual(["thou", " a", "r", "t", ""]);
  });

  it("leaves special tokens out on request, also within a character", () => {
    const tokenizer = Tokenizer.fromGguf(byteLevelMetadata("gpt-2"));
    const turn = tokenizer.tokenToId("<|turn|>")!;
    const [first, ...rest] = tokenizer.encode("🎈");
    const pieces = stream(tokenizer, [turn, first!, turn, ...rest], { skipSpecialTokens: true });
    expect(pieces.join("")).toBe("🎈");
    expect(stream(tokenizer, [turn])).toEqual(["<|turn|>", ""]);
  });
});
