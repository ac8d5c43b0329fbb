import { GenerationError } from "../errors";
import { TokenizerMetadata, tokenType, type GgufMetadata } from "./gguf-metadata";
import { ggufWords } from "./gguf-words";
import type { JsonObject } from "./json";
import { isolate } from "./rust-parity";
import { mergesFromScores } from "./score-merges";

export type { GgufMetadata };

/** The two tokenizer files of a Hugging Face model folder. */
export interface TokenizerFiles {
  readonly tokenizerJson: JsonObject;
  readonly tokenizerConfig: JsonObject;
}

interface Recipe {
  readonly model: JsonObject;
  readonly normalizer: JsonObject | null;
  readonly pre_tokenizer: JsonObject | null;
  readonly decoder: JsonObject;
  /** Token to begin with unless the file says otherwise. */
  readonly addBos: boolean;
  /** Ids of special tokens where the file does not name them. */
  readonly defaults: { readonly bos?: number; readonly eos?: number; readonly unk?: number };
}

/**
 * The tokenizer of a GGUF file (`tokenizer.ggml.*`, ggml's docs/gguf.md) in the Hugging Face format. Two kinds are known:
 * `gpt2`, byte-level BPE with a named way of splitting words, and `llama`, SentencePiece BPE with scores.
 *
 * @throws GenerationError InvalidTokenizer, UnsupportedTokenizer
 */
export function tokenizerJsonFromGguf(values: GgufMetadata): TokenizerFiles {
  const kind = values.get("tokenizer.ggml.model");
  const build = kind === "gpt2" ? byteLevel : kind === "llama" ? sentencePiece : undefined;
  if (build === undefined) {
    throw new GenerationError(
      "UnsupportedTokenizer",
      `GGUF metadata: tokenizer.ggml.model ${JSON.stringify(kind)} is not supported; known are gpt2, llama.`,
      { kind },
    );
  }
  const metadata = new TokenizerMetadata(values);
  const { addBos, defaults, ...parts } = build(metadata);
  const special = {
    bos_token: metadata.token("tokenizer.ggml.bos_token_id", defaults.bos),
    eos_token: metadata.token("tokenizer.ggml.eos_token_id", defaults.eos),
    unk_token: metadata.token("tokenizer.ggml.unknown_token_id", defaults.unk),
    pad_token: metadata.token("tokenizer.ggml.padding_token_id"),
  };
  const bos = (metadata.flag("tokenizer.ggml.add_bos_token") ?? addBos) && special.bos_token;
  const eos = (metadata.flag("tokenizer.ggml.add_eos_token") ?? false) && special.eos_token;
  return {
    tokenizerJson: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: addedTokens(metadata),
      ...parts,
      post_processor: template(metadata, bos || undefined, eos || undefined),
    },
    tokenizerConfig: withoutUndefined({
      ...special,
      add_bos_token: Boolean(bos),
      add_eos_token: Boolean(eos),
      chat_template: metadata.string("tokenizer.chat_template"),
      clean_up_tokenization_spaces: false,
    }),
  };
}

/** GPT-2's BPE over bytes. */
function byteLevel(metadata: TokenizerMetadata): Recipe {
  const words = ggufWords(metadata.string("tokenizer.ggml.pre") ?? "default");
  const merges = metadata.strings("tokenizer.ggml.merges");
  if (merges === undefined) {
    throw new GenerationError(
      "InvalidTokenizer",
      "GGUF metadata: tokenizer.ggml.merges is missing.",
      {
        key: "tokenizer.ggml.merges",
      },
    );
  }
  const bytes = {
    type: "ByteLevel",
    add_prefix_space: false,
    trim_offsets: false,
    use_regex: false,
  };
  return {
    model: bpe(metadata, merges.map(splitMerge), { ignore_merges: words.ignoreMerges ?? false }),
    normalizer: words.composed === true ? { type: "NFC" } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...words.patterns.map(isolate), bytes] },
    decoder: bytes,
    addBos: words.addBos ?? false,
    defaults: {},
  };
}

/** SentencePiece's BPE over characters, with tokens for single bytes where a character has none. */
function sentencePiece(metadata: TokenizerMetadata): Recipe {
  const scores = metadata.numbers("tokenizer.ggml.scores");
  if (scores === undefined) {
    throw new GenerationError(
      "InvalidTokenizer",
      "GGUF metadata: tokenizer.ggml.scores is missing.",
      {
        key: "tokenizer.ggml.scores",
      },
    );
  }
  const isText = (id: number) =>
    [tokenType.normal, tokenType.userDefined].includes(metadata.type(id));
  const pieces = metadata.tokens.flatMap((token, id): [string, number][] =>
    isText(id) ? [[token, scores[id]!]] : [],
  );
  const prefix = metadata.flag("tokenizer.ggml.add_space_prefix") ?? true;
  const underscores = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const spaces = { type: "Replace", pattern: { String: "▁" }, content: " " };
  const decoders = [spaces, { type: "ByteFallback" }, { type: "Fuse" }];
  return {
    model: bpe(metadata, mergesFromScores(new Map(pieces)), {
      byte_fallback: true,
      fuse_unk: true,
      unk_token: metadata.token("tokenizer.ggml.unknown_token_id", 0) ?? null,
    }),
    normalizer: prefix
      ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, underscores] }
      : underscores,
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: prefix
        ? [...decoders, { type: "Strip", content: " ", start: 1, stop: 0 }]
        : decoders,
    },
    addBos: true,
    defaults: { bos: 1, eos: 2, unk: 0 },
  };
}

function bpe(
  metadata: TokenizerMetadata,
  merges: readonly unknown[],
  more: JsonObject,
): JsonObject {
  return {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    ...more,
    vocab: Object.fromEntries(metadata.tokens.map((token, id) => [token, id])),
    merges,
  };
}

/** `"Ġ t"` is a pair of tokens; a token may itself begin with a space. */
function splitMerge(merge: string): [string, string] {
  const at = merge.indexOf(" ", 1);
  return [merge.slice(0, at), merge.slice(at + 1)];
}

function addedTokens(metadata: TokenizerMetadata): JsonObject[] {
  return metadata.tokens.flatMap((content, id) => {
    const type = metadata.type(id);
    const special = type === tokenType.control || type === tokenType.unknown;
    if (content === "" || (!special && type !== tokenType.userDefined)) return [];
    const whole = { single_word: false, lstrip: false, rstrip: false, normalized: false };
    return [{ id, content, ...whole, special }];
  });
}

function template(metadata: TokenizerMetadata, bos?: string, eos?: string): JsonObject | null {
  const tokens = [bos, eos].filter((token) => token !== undefined);
  if (tokens.length === 0) return null;
  const sequence = (id: string, type_id: number) => [
    ...specialToken(bos, type_id),
    { Sequence: { id, type_id } },
    ...specialToken(eos, type_id),
  ];
  return {
    type: "TemplateProcessing",
    single: sequence("A", 0),
    pair: [...sequence("A", 0), ...sequence("B", 1)],
    special_tokens: Object.fromEntries(
      tokens.map((id) => [id, { id, ids: [metadata.tokens.indexOf(id)], tokens: [id] }]),
    ),
  };
}

function specialToken(token: string | undefined, type_id: number): JsonObject[] {
  return token === undefined ? [] : [{ SpecialToken: { id: token, type_id } }];
}

function withoutUndefined(object: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
