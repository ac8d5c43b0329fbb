import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { folder, memoryFolder } from "@transmla/tensor-io";
import { GenerationError } from "../errors";
import { byteLevelMetadata, sampleTokenizerJson, tokenizerGolden } from "../testing/golden";
import { loadTokenizer } from "./load-tokenizer";
import { Tokenizer } from "./tokenizer";

const { texts, sample, special, metaspace, byteLevel } = tokenizerGolden;

describe("Tokenizer", () => {
  it("encodes like Hugging Face tokenizers with the sample model's vocabulary", () => {
    const tokenizer = Tokenizer.fromJson(sampleTokenizerJson);
    expect(tokenizer.vocabSize).toBe(1024);
    for (const [index, text] of texts.entries()) {
      const ids = tokenizer.encode(text);
      expect([...ids], JSON.stringify(text)).toEqual(sample[index]);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });

  it("splits before every mark of a Metaspace that splits", () => {
    const tokenizer = Tokenizer.fromJson(metaspace.tokenizer);
    for (const [index, text] of texts.entries()) {
      expect([...tokenizer.encode(text)], JSON.stringify(text)).toEqual(metaspace.ids[index]);
    }
  });

  it("reads special tokens from text only on request", () => {
    const tokenizer = Tokenizer.fromGguf(byteLevelMetadata("gpt-2"));
    const turn = byteLevel.tokens.indexOf("<|turn|>");
    const keep = byteLevel.tokens.indexOf("<keep>");
    expect([...tokenizer.encode(special.text)]).toEqual(special.plain);
    expect([...tokenizer.encode(special.text, { parseSpecialTokens: true })]).toEqual(
      special.parsed,
    );
    expect(special.plain).not.toContain(turn);
    expect(special.plain).toContain(keep);
    expect(special.parsed.filter((id) => id === turn)).toHaveLength(2);
  });

  it("leaves special tokens out of the text only on request", () => {
    const tokenizer = Tokenizer.fromGguf(byteLevelMetadata("gpt-2"));
    const ids = tokenizer.encode(special.text, { parseSpecialTokens: true });
    expect(tokenizer.decode(ids)).toBe(special.text);
    const without = special.text.replaceAll(/<\|\w+\|>/g, "");
    expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(without);
  });

  it("names tokens and ids", () => {
    const tokenizer = Tokenizer.fromJson(sampleTokenizerJson);
    expect(tokenizer.tokenToId("<|endoftext|>")).toBe(0);
    expect(tokenizer.idToToken(0)).toBe("<|endoftext|>");
    expect(tokenizer.isSpecial(0)).toBe(true);
    expect(tokenizer.isSpecial(1)).toBe(false);
    expect(tokenizer.tokenToId("no such token")).toBeUndefined();
    expect(tokenizer.idToToken(1024)).toBeUndefined();
  });

  it("gives no text to ids without a token, which a padded model can produce", () => {
    const tokenizer = Tokenizer.fromJson(sampleTokenizerJson);
    const [id] = tokenizer.encode("a");
    expect(tokenizer.decode([id!, 5000, -1, id!])).toBe("aa");
    expect(tokenizer.decode([])).toBe("");
  });

  it("accepts bytes, text and objects alike", () => {
    const text = JSON.stringify(sampleTokenizerJson);
    const bytes = new TextEncoder().encode(text);
    const expected = Tokenizer.fromJson(sampleTokenizerJson).encode(texts[0]!);
    expect(Tokenizer.fromJson(text).encode(texts[0]!)).toEqual(expected);
    expect(Tokenizer.fromJson(bytes, "{}").encode(texts[0]!)).toEqual(expected);
  });

  it("takes a megabyte without a space in its stride", () => {
    const tokenizer = Tokenizer.fromJson(sampleTokenizerJson);
    const text = "ab1".repeat(100_000);
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it("names the text that it has no token for", () => {
    const model = { type: "BPE", unk_token: "<unk>", vocab: { a: 0 }, merges: [] };
    const tokenizer = Tokenizer.fromJson({ model });
    expect([...tokenizer.encode("aa")]).toEqual([0, 0]);
    expect(() => tokenizer.encode("ab")).toThrow(expect.objectContaining({ code: "UnknownToken" }));
  });
});

describe("refusals", () => {
  const vocab = { a: 0, b: 1, ab: 2 };
  const model = { type: "BPE", vocab, merges: [["a", "b"]] };
  const bpe = (change: object) => ({ model: { ...model, ...change } });

  it("accepts the valid twin", () => {
    expect([...Tokenizer.fromJson({ model }).encode("abb")]).toEqual([2, 1]);
    expect([...Tokenizer.fromJson(bpe({ merges: ["a b"] })).encode("abb")]).toEqual([2, 1]);
    expect([...Tokenizer.fromJson(bpe({ type: undefined })).encode("abb")]).toEqual([2, 1]);
  });

  it.each<[string, string | Uint8Array | object, string]>([
    ["text that is not JSON", "{", "TokenizerNotJson"],
    ["bytes that are not UTF-8", Uint8Array.of(0x22, 0xff, 0x22), "TokenizerNotJson"],
    ["a list", "[]", "InvalidTokenizer"],
    ["no model", {}, "InvalidTokenizer"],
    ["an unsupported model", bpe({ type: "WordLevel" }), "UnsupportedTokenizer"],
    ["no vocabulary", bpe({ vocab: undefined }), "InvalidTokenizer"],
    ["a fractional id", bpe({ vocab: { ...vocab, c: 2.5 } }), "InvalidTokenizer"],
    ["an enormous id", bpe({ vocab: { ...vocab, c: 4e9 } }), "InvalidTokenizer"],
    ["an id twice", bpe({ vocab: { ...vocab, c: 2 } }), "InvalidTokenizer"],
    ["no merges", bpe({ merges: undefined }), "InvalidTokenizer"],
    ["a merge of three", bpe({ merges: ["a b c"] }), "InvalidTokenizer"],
    ["a merge of no token", bpe({ merges: [["a", "c"]] }), "InvalidTokenizer"],
    ["a merge into no token", bpe({ merges: [["b", "a"]] }), "InvalidTokenizer"],
    ["an added token without content", { model, added_tokens: [{ id: 3 }] }, "InvalidTokenizer"],
    [
      "an unknown pre-tokenizer",
      { model, pre_tokenizer: { type: "Magic" } },
      "UnsupportedTokenizer",
    ],
    ["a decoder that is no object", { model, decoder: 7 }, "InvalidTokenizer"],
    [
      "a broken pattern",
      { model, pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" } },
      "InvalidTokenizer",
    ],
  ])("refuses %s", (_, source, code) => {
    expect(() => Tokenizer.fromJson(source)).toThrow(expect.objectContaining({ code }));
  });

  it("brands its errors", () => {
    const error = new GenerationError("InvalidTokenizer", "no");
    expect(GenerationError.isInstance(error)).toBe(true);
    expect(GenerationError.isInstance(new Error("no"))).toBe(false);
  });
});

describe("loadTokenizer", () => {
  const file = new URL("../../../sample-model/model/tokenizer.json", import.meta.url);

  it("reads a model folder", async () => {
    const origin = { folder: folder(fileURLToPath(new URL(".", file))) };
    const tokenizer = await loadTokenizer(origin);
    expect([...tokenizer.encode(texts[0]!)]).toEqual(sample[0]);
    expect(tokenizer.config["eos_token"]).toBe("<|endoftext|>");
  });

  it("finds a chat template that has a file of its own", async () => {
    const template = new TextEncoder().encode("{{ messages }}");
    const files = { "tokenizer.json": readFileSync(file), "chat_template.jinja": template };
    const tokenizer = await loadTokenizer({ folder: memoryFolder(new Map(Object.entries(files))) });
    expect(tokenizer.config["chat_template"]).toBe("{{ messages }}");
  });

  it("reads GGUF metadata", async () => {
    const tokenizer = await loadTokenizer({ gguf: { values: byteLevelMetadata("qwen2") } });
    expect([...tokenizer.encode(texts[3]!)]).toEqual(byteLevel.words["qwen2"]![3]);
  });

  it("refuses a folder without a tokenizer", async () => {
    const empty = memoryFolder(new Map());
    await expect(loadTokenizer({ folder: empty })).rejects.toMatchObject({
      code: "MissingTokenizer",
    });
  });
});
