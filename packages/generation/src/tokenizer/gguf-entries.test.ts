import { describe, expect, it } from "vitest";
import { memoryFolder, type GgufValue } from "@transmla/tensor-io";
import { GenerationError } from "../errors";
import {
  byteLevelMetadata,
  sampleTokenizerJson,
  sentencePieceMetadata,
  tokenizerGolden,
} from "../testing/golden";
import { tokenizerJsonFromGguf } from "./gguf";
import { tokenizerGgufEntries } from "./gguf-entries";
import { canonicalWords } from "./gguf-words";
import type { JsonObject } from "./json";
import { loadTokenizer } from "./load-tokenizer";
import { Tokenizer } from "./tokenizer";

const { texts, byteLevel } = tokenizerGolden;
const size = byteLevel.tokens.length;

function folderOf(tokenizerJson: object, tokenizerConfig: object = {}) {
  const encode = (json: object) => new TextEncoder().encode(JSON.stringify(json));
  const files: [string, Uint8Array][] = [
    ["tokenizer.json", encode(tokenizerJson)],
    ["tokenizer_config.json", encode(tokenizerConfig)],
  ];
  return memoryFolder(new Map(files));
}

/** A Hugging Face folder with the tokenizer of GGUF metadata. */
function folderFrom(values: Map<string, GgufValue>) {
  const { tokenizerJson, tokenizerConfig } = tokenizerJsonFromGguf(values);
  return folderOf(tokenizerJson, tokenizerConfig);
}

/** Entries as a reader of the file sees them. */
async function written(
  folder: ReturnType<typeof folderOf>,
  vocabSize: number,
): Promise<Map<string, GgufValue>> {
  const entries = await tokenizerGgufEntries({ folder }, vocabSize);
  return new Map(
    Array.from(entries, ([key, entry]): [string, GgufValue] =>
      typeof entry === "object" && "type" in entry ? [key, entry.value] : [key, entry],
    ),
  );
}

describe("from a Hugging Face folder", () => {
  it.each(canonicalWords)("%s: what the metadata said", async (words) => {
    const values = byteLevelMetadata(words);
    const result = await written(folderFrom(values), size);
    for (const [key, value] of values) expect(result.get(key), key).toEqual(value);
    expect(result.get("tokenizer.ggml.add_bos_token")).toBe(
      ["llama-bpe", "tekken"].includes(words),
    );
  });

  it("the sample's tokenizer: the same tokens for every golden text", async () => {
    const folder = folderOf(sampleTokenizerJson, { eos_token: { content: "<|endoftext|>" } });
    const original = await loadTokenizer({ folder });
    const values = await written(folder, original.vocabSize + 3);
    expect(values.get("tokenizer.ggml.pre")).toBe("gpt-2");
    expect(values.get("tokenizer.ggml.eos_token_id")).toBe(0);
    const tokens = values.get("tokenizer.ggml.tokens") as string[];
    expect(tokens).toHaveLength(original.vocabSize + 3);
    expect(tokens.at(-1)).toBe(`[PAD${original.vocabSize + 2}]`);
    const copy = Tokenizer.fromGguf(values);
    for (const text of texts) expect(copy.encode(text)).toEqual(original.encode(text));
  });

  async function refusal(tokenizerJson: object, vocabSize = size): Promise<unknown> {
    try {
      return await tokenizerGgufEntries({ folder: folderOf(tokenizerJson) }, vocabSize);
    } catch (error) {
      return GenerationError.isInstance(error) ? error.code : error;
    }
  }

  it("refuses what llama.cpp would read differently", async () => {
    const { tokenizerJson } = tokenizerJsonFromGguf(byteLevelMetadata("gpt-2"));
    expect(await refusal(tokenizerJson)).toBeInstanceOf(Map);
    expect(await refusal(tokenizerJson, size - 1)).toBe("InvalidTokenizer");
    const pieces = tokenizerJsonFromGguf(sentencePieceMetadata()).tokenizerJson;
    expect(await refusal(pieces)).toBe("UnsupportedTokenizer");
    const [split] = (tokenizerJson["pre_tokenizer"] as JsonObject)["pretokenizers"] as object[];
    const vowels = { ...split, pattern: { Regex: "[aeiou]" } };
    const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
    const pre_tokenizer = { type: "Sequence", pretokenizers: [vowels, bytes] };
    expect(await refusal({ ...tokenizerJson, pre_tokenizer })).toBe("UnsupportedTokenizer");
  });
});

it("from a GGUF file: the same entries, numbers in their types", async () => {
  const values = byteLevelMetadata("qwen2").set("general.name", "x");
  const numberTypes = new Map([
    ["tokenizer.ggml.bos_token_id", "u32" as const],
    ["tokenizer.ggml.eos_token_id", "u16" as const],
  ]);
  const entries = await tokenizerGgufEntries({ gguf: { values, numberTypes } }, size);
  expect(entries.has("general.name")).toBe(false);
  expect(entries.get("tokenizer.ggml.pre")).toBe("qwen2");
  expect(entries.get("tokenizer.ggml.eos_token_id")).toEqual({
    type: "u16",
    value: values.get("tokenizer.ggml.eos_token_id"),
  });
});
