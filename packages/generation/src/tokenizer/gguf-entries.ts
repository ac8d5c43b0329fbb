import {
  ggufEntries,
  type GgufCheckpoint,
  type GgufEntry,
  type GgufValue,
  type ModelFolder,
} from "@transmla/tensor-io";
import { GenerationError } from "../errors";
import { tokenType } from "./gguf-metadata";
import { canonicalWords } from "./gguf-words";
import { isObject, jsonObject, type JsonObject } from "./json";
import { readTokenizerFiles } from "./load-tokenizer";
import { Tokenizer } from "./tokenizer";
import { checkTokenizerJson, type TokenizerJson } from "./tokenizer-json";

/** Where a model's tokenizer is: `files.origin` of `openModel`. */
export type TokenizerSource =
  | { readonly folder: ModelFolder }
  | { readonly gguf: Pick<GgufCheckpoint, "values" | "numberTypes"> };

/**
 * The `tokenizer.*` entries of a GGUF file for a model's tokenizer: those of its own GGUF file, or made from `tokenizer.json`
 * and `tokenizer_config.json`. Byte-level BPE only; the name of the way it splits words (`tokenizer.ggml.pre`) is the one
 * that gives the same tokens on a text of hard cases.
 *
 * @param vocabSize rows of the embedding, which llama.cpp wants to equal the number of tokens
 * @throws GenerationError MissingTokenizer, TokenizerNotJson, InvalidTokenizer, UnsupportedTokenizer
 */
export async function tokenizerGgufEntries(
  source: TokenizerSource,
  vocabSize: number,
): Promise<Map<string, GgufEntry>> {
  if ("gguf" in source) {
    const entries = ggufEntries(source.gguf);
    return new Map([...entries].filter(([key]) => key.startsWith("tokenizer.")));
  }
  const { tokenizerJson, tokenizerConfig } = await readTokenizerFiles(source.folder);
  const json = checkTokenizerJson(jsonObject(tokenizerJson, "tokenizer.json"));
  const config = jsonObject(tokenizerConfig, "tokenizer_config.json");
  return entriesOf(json, config, vocabSize);
}

function entriesOf(
  json: TokenizerJson,
  config: JsonObject,
  vocabSize: number,
): Map<string, GgufEntry> {
  if (json.model["type"] !== "BPE" || !isByteLevel(json.decoder)) {
    throw unsupported("it is not byte-level BPE");
  }
  const tokenizer = Tokenizer.fromJson(json, config);
  if (tokenizer.vocabSize > vocabSize) {
    throw new GenerationError(
      "InvalidTokenizer",
      `The tokenizer has ${tokenizer.vocabSize} tokens, the model ${vocabSize}.`,
      { tokens: tokenizer.vocabSize, vocabSize },
    );
  }
  const { tokens, types } = vocabulary(json, vocabSize);
  const values = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", types],
    ["tokenizer.ggml.merges", mergesOf(json)],
    ...specialTokens(config, tokenizer),
  ]);
  const template = config["chat_template"];
  if (typeof template === "string") values.set("tokenizer.chat_template", template);
  values.set("tokenizer.ggml.pre", wordsOf(tokenizer, values));
  const numberTypes = new Map([...values.keys()].map((key) => [key, "u32" as const]));
  return ggufEntries({ values, numberTypes });
}

function isByteLevel(part: unknown): boolean {
  if (!isObject(part)) return false;
  const parts = part["decoders"];
  return part["type"] === "ByteLevel" || (Array.isArray(parts) && parts.some(isByteLevel));
}

/** A token and its kind for every row of the embedding; rows without a token get a name that no text has. */
function vocabulary(
  { model, added_tokens }: TokenizerJson,
  vocabSize: number,
): { tokens: string[]; types: Int32Array } {
  const tokens = Array.from({ length: vocabSize }, (_, id) => `[PAD${id}]`);
  const types = new Int32Array(vocabSize).fill(tokenType.unused);
  for (const [token, id] of Object.entries(model["vocab"] as Record<string, number>)) {
    tokens[id] = token;
    types[id] = tokenType.normal;
  }
  for (const { id, content, special } of added_tokens) {
    tokens[id] = content;
    types[id] = special ? tokenType.control : tokenType.userDefined;
  }
  return { tokens, types };
}

function mergesOf({ model }: TokenizerJson): string[] {
  return (model["merges"] as readonly (string | readonly [string, string])[]).map((merge) => {
    const pair = typeof merge === "string" ? merge : merge.join(" ");
    // GGUF keeps a pair as one text with a space between; byte-level tokens have none.
    if (pair.split(" ").length === 2) return pair;
    throw unsupported("a merge has a space in it");
  });
}

/** The ids of the named tokens, and whether a text begins and ends with them. */
function specialTokens(config: JsonObject, tokenizer: Tokenizer): [string, GgufValue][] {
  const idOf = (name: string): number | undefined => {
    const token = config[name];
    const content = isObject(token) ? token["content"] : token;
    return typeof content === "string" ? tokenizer.tokenToId(content) : undefined;
  };
  const names = { bos_token: "bos", eos_token: "eos", unk_token: "unknown", pad_token: "padding" };
  const ids = Object.entries(names).flatMap(([name, key]): [string, GgufValue][] => {
    const id = idOf(name);
    return id === undefined ? [] : [[`tokenizer.ggml.${key}_token_id`, id]];
  });
  const bare = tokenizer.encode("a", { addSpecialTokens: false });
  const whole = tokenizer.encode("a");
  const added = whole.length - bare.length;
  const first = added > 0 && whole[0] === idOf("bos_token");
  const last = added > Number(first) && whole.at(-1) === idOf("eos_token");
  if (added !== Number(first) + Number(last)) {
    throw unsupported(
      "it adds other tokens to a text than one at its beginning and one at its end",
    );
  }
  return [...ids, ["tokenizer.ggml.add_bos_token", first], ["tokenizer.ggml.add_eos_token", last]];
}

/** Cases in which the ways of splitting that llama.cpp knows differ. */
const hardCases =
  "I'm sure they'LL say we'Ve 've; don't DON'T can’t 1234567 12 3.14159 2024-11-05 ½ ٣٤٥ Ⅷ x2y3 " +
  "  two  spaces\t\ttabs\n\n\nlines \r\n \n  end... (well?!) [a] {b} <c> $5 +6 =7 ^8 ~9 |10 " +
  "naïve re\u0301sume\u0301 Ünïcödé 中文字符 日本語テキスト 한국어 हिन्दी العربية emoji 😀👩‍👩‍👧 CamelCaseWord HTTPServer " +
  "snake_case foo.bar() // path/to/file\n#include <x>\u0085\ufeff\u3000 ";

function wordsOf(tokenizer: Tokenizer, values: ReadonlyMap<string, GgufValue>): string {
  const plain = { addSpecialTokens: false };
  const wanted = tokenizer.encode(hardCases, plain).join();
  const name = canonicalWords.find((candidate) => {
    const twin = Tokenizer.fromGguf(new Map(values).set("tokenizer.ggml.pre", candidate));
    return twin.encode(hardCases, plain).join() === wanted;
  });
  if (name !== undefined) return name;
  throw unsupported(`it splits text like none of ${canonicalWords.join(", ")}`);
}

function unsupported(reason: string): GenerationError {
  return new GenerationError(
    "UnsupportedTokenizer",
    `The tokenizer cannot be written to a GGUF file: ${reason}.`,
    { reason },
  );
}
