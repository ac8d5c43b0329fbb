import { describe, expect, it } from "vitest";
import type { GgufValue } from "@transmla/tensor-io";
import { GenerationError } from "../errors";
import { byteLevelMetadata, sentencePieceMetadata, tokenizerGolden } from "../testing/golden";
import { tokenizerJsonFromGguf } from "./gguf";
import { Tokenizer } from "./tokenizer";

const { texts, byteLevel, sentencePiece } = tokenizerGolden;
const plain = { addSpecialTokens: false };

describe("byte-level vocabularies", () => {
  it.each(Object.entries(byteLevel.words))("splits words like %s", (words, ids) => {
    const tokenizer = Tokenizer.fromGguf(byteLevelMetadata(words));
    for (const [index, text] of texts.entries()) {
      expect([...tokenizer.encode(text, plain)], JSON.stringify(text)).toEqual(ids[index]);
    }
  });

  it("has ways of splitting that differ on the golden texts, so that a mix-up would show", () => {
    const all = Object.values(byteLevel.words).map((ids) => JSON.stringify(ids));
    expect(new Set(all).size).toBe(all.length);
  });

  it("decodes to the text it encoded", () => {
    const tokenizer = Tokenizer.fromGguf(byteLevelMetadata("gpt-2"));
    for (const text of texts) expect(tokenizer.decode(tokenizer.encode(text, plain))).toBe(text);
  });

  it("falls back to the unnamed way when the file does not say", () => {
    const values = byteLevelMetadata("gpt-2");
    values.delete("tokenizer.ggml.pre");
    const tokenizer = Tokenizer.fromGguf(values);
    expect([...tokenizer.encode(texts[2]!, plain)]).toEqual(byteLevel.words["default"]![2]);
  });
});

describe("SentencePiece vocabularies", () => {
  const tokenizer = Tokenizer.fromGguf(sentencePieceMetadata());

  it("encodes like SentencePiece", () => {
    for (const [index, text] of texts.entries()) {
      const ids = [...tokenizer.encode(text, plain)];
      expect(ids, JSON.stringify(text)).toEqual(sentencePiece.ids[index]);
    }
  });

  it("decodes to the text it encoded, but for a mark that stands for a space", () => {
    for (const text of texts) {
      const expected = text.replaceAll("▁", " ");
      expect(tokenizer.decode(tokenizer.encode(text, plain))).toBe(expected);
    }
  });

  it("adds no space where the file says so", () => {
    const values = sentencePieceMetadata().set("tokenizer.ggml.add_space_prefix", false);
    const bare = Tokenizer.fromGguf(values);
    expect(bare.decode(bare.encode("Romeo", plain))).toBe("Romeo");
    expect(bare.encode("Romeo", plain)).not.toEqual(tokenizer.encode("Romeo", plain));
    expect(bare.encode(" Romeo", plain)).toEqual(tokenizer.encode("Romeo", plain));
  });
});

const idsOf = (values: Map<string, GgufValue>) => [...Tokenizer.fromGguf(values).encode("Romeo")];

describe("special tokens", () => {
  const begin = byteLevel.tokens.indexOf("<|turn|>");
  const end = byteLevel.tokens.indexOf("<|end|>");

  it("begin a text by default for Llama and SentencePiece, not for GPT-2", () => {
    expect(idsOf(byteLevelMetadata("llama-bpe"))[0]).toBe(begin);
    expect(idsOf(byteLevelMetadata("gpt-2"))).not.toContain(begin);
    expect(idsOf(sentencePieceMetadata())[0]).toBe(sentencePiece.tokens.indexOf("<s>"));
  });

  it("follow the flags of the file", () => {
    const values = byteLevelMetadata("gpt-2")
      .set("tokenizer.ggml.add_bos_token", true)
      .set("tokenizer.ggml.add_eos_token", true);
    const withBoth = idsOf(values);
    expect(withBoth.at(0)).toBe(begin);
    expect(withBoth.at(-1)).toBe(end);
    expect(withBoth.slice(1, -1)).toEqual(idsOf(byteLevelMetadata("gpt-2")));
    const without = byteLevelMetadata("llama-bpe").set("tokenizer.ggml.add_bos_token", false);
    expect(idsOf(without)).not.toContain(begin);
  });

  it("are named in the config with the chat template", () => {
    expect(tokenizerJsonFromGguf(byteLevelMetadata("llama-bpe")).tokenizerConfig).toEqual({
      bos_token: "<|turn|>",
      eos_token: "<|end|>",
      add_bos_token: true,
      add_eos_token: false,
      chat_template: "{{ messages }}",
      clean_up_tokenization_spaces: false,
    });
  });
});

/** The code of the error, or the tokenizer. */
function refusal(values: Map<string, GgufValue>): unknown {
  try {
    return tokenizerJsonFromGguf(values);
  } catch (error) {
    return GenerationError.isInstance(error) ? error.code : error;
  }
}

describe("refusals", () => {
  const repeated = [...byteLevel.tokens.slice(0, -1), byteLevel.tokens[0]!];

  it.each<[string, string, GgufValue | undefined, string]>([
    ["an unknown kind", "tokenizer.ggml.model", "bert", "UnsupportedTokenizer"],
    ["no kind", "tokenizer.ggml.model", undefined, "UnsupportedTokenizer"],
    ["an unknown way of splitting", "tokenizer.ggml.pre", "klingon", "UnsupportedTokenizer"],
    ["no tokens", "tokenizer.ggml.tokens", undefined, "InvalidTokenizer"],
    ["tokens that are numbers", "tokenizer.ggml.tokens", new Int32Array(9), "InvalidTokenizer"],
    ["the same token twice", "tokenizer.ggml.tokens", repeated, "InvalidTokenizer"],
    ["too few kinds", "tokenizer.ggml.token_type", new Int32Array(9), "InvalidTokenizer"],
    ["no merges", "tokenizer.ggml.merges", undefined, "InvalidTokenizer"],
    ["a token id beyond the end", "tokenizer.ggml.bos_token_id", 1e6, "InvalidTokenizer"],
    ["a flag that is none", "tokenizer.ggml.add_bos_token", 1, "InvalidTokenizer"],
    ["a template that is none", "tokenizer.chat_template", 1, "InvalidTokenizer"],
  ])("refuses %s", (_, key, value, code) => {
    const values = byteLevelMetadata("gpt-2");
    expect(refusal(values)).toBeTypeOf("object");
    if (value === undefined) values.delete(key);
    else values.set(key, value);
    expect(refusal(values)).toBe(code);
  });

  it("refuses SentencePiece without scores and with a piece beyond reason", () => {
    const values = sentencePieceMetadata();
    values.delete("tokenizer.ggml.scores");
    expect(refusal(values)).toBe("InvalidTokenizer");
    const tokens = [...sentencePiece.tokens.slice(0, -1), "a".repeat(1000)];
    const long = sentencePieceMetadata().set("tokenizer.ggml.tokens", tokens);
    expect(refusal(long)).toBe("InvalidTokenizer");
  });
});
