import { readFileSync } from "node:fs";
import type { GgufValue } from "@transmla/tensor-io";

interface GgufVocabulary {
  readonly tokens: string[];
  readonly types: readonly number[];
}

/** What tools/golden/tokenizer.py writes. */
export interface TokenizerGolden {
  readonly texts: readonly string[];
  /** Ids per text. */
  readonly sample: readonly (readonly number[])[];
  readonly byteLevel: GgufVocabulary & {
    readonly merges: string[];
    readonly words: Readonly<Record<string, readonly (readonly number[])[]>>;
  };
  readonly special: {
    readonly text: string;
    readonly parsed: readonly number[];
    readonly plain: readonly number[];
  };
  readonly sentencePiece: GgufVocabulary & {
    readonly scores: readonly number[];
    readonly ids: readonly (readonly number[])[];
  };
  readonly metaspace: { readonly tokenizer: object; readonly ids: readonly (readonly number[])[] };
}

export const tokenizerGolden = readJson("../../golden/tokenizers.json") as TokenizerGolden;
export const sampleTokenizerJson = readJson("../../../sample-model/model/tokenizer.json") as object;

/** The byte-level vocabulary as the metadata of a GGUF file that splits words in the named way. */
export function byteLevelMetadata(words: string): Map<string, GgufValue> {
  const { tokens, types, merges } = tokenizerGolden.byteLevel;
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", words],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", Int32Array.from(types)],
    ["tokenizer.ggml.merges", merges],
    ["tokenizer.ggml.bos_token_id", tokens.indexOf("<|turn|>")],
    ["tokenizer.ggml.eos_token_id", tokens.indexOf("<|end|>")],
    ["tokenizer.chat_template", "{{ messages }}"],
  ]);
}

/** The SentencePiece vocabulary as the metadata of a GGUF file. */
export function sentencePieceMetadata(): Map<string, GgufValue> {
  const { tokens, types, scores } = tokenizerGolden.sentencePiece;
  return new Map<string, GgufValue>([
    ["tokenizer.ggml.model", "llama"],
    ["tokenizer.ggml.tokens", tokens],
    ["tokenizer.ggml.token_type", Int32Array.from(types)],
    ["tokenizer.ggml.scores", Float32Array.from(scores)],
  ]);
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8")) as unknown;
}
