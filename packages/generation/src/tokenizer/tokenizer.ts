import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { GenerationError } from "../errors";
import { tokenizerJsonFromGguf, type GgufMetadata } from "./gguf";
import { jsonObject, type JsonObject } from "./json";
import { tokenBytes } from "./byte-tokens";
import { keepByteOrderMarks, withRustParity } from "./rust-parity";
import { PartialCharacters } from "./partial-characters";
import { checkTokenizerJson, type AddedToken, type TokenizerJson } from "./tokenizer-json";

export interface EncodeOptions {
  /** Add what the tokenizer's post-processor adds, usually a token for the beginning (default true). */
  readonly addSpecialTokens?: boolean | undefined;
  /**
   * Read the text of special tokens as those tokens (default false: `<|im_end|>` in a user's text stays plain text).
   * Text rendered by a chat template wants true.
   */
  readonly parseSpecialTokens?: boolean | undefined;
}

export interface DecodeOptions {
  /** Leave special tokens out of the text (default false). */
  readonly skipSpecialTokens?: boolean | undefined;
}

/** Text to token ids and back, as a Hugging Face `tokenizer.json` describes it. */
export class Tokenizer {
  /** One more than the largest token id. A model may have more rows than that. */
  readonly vocabSize: number;
  /** What `tokenizer_config.json` says: chat template, names of special tokens. */
  readonly config: JsonObject;
  private readonly library: LibraryTokenizer;
  /** The same without its special tokens, for text that must not be read as one. */
  private readonly plain: LibraryTokenizer;
  private readonly addedTokens: ReadonlyMap<number, AddedToken>;
  private readonly characters: PartialCharacters;
  private readonly decoder: JsonObject | null;

  private constructor(json: TokenizerJson, config: JsonObject) {
    this.config = config;
    this.library = build(json, config);
    this.plain = withoutSpecialTokens(this.library, json, config);
    this.addedTokens = new Map(json.added_tokens.map((token) => [token.id, token]));
    this.characters = new PartialCharacters(json.decoder);
    this.decoder = json.decoder;
    this.vocabSize = this.library.model?.vocab.length ?? 0;
  }

  /**
   * From `tokenizer.json` and, where there is one, `tokenizer_config.json`: bytes, text or parsed objects.
   * @throws GenerationError TokenizerNotJson, InvalidTokenizer, UnsupportedTokenizer
   */
  static fromJson(
    tokenizerJson: Uint8Array | string | object,
    tokenizerConfig: Uint8Array | string | object = {},
  ): Tokenizer {
    const json = checkTokenizerJson(jsonObject(tokenizerJson, "tokenizer.json"));
    return new Tokenizer(json, jsonObject(tokenizerConfig, "tokenizer_config.json"));
  }

  /**
   * From the metadata of a GGUF file.
   * @throws GenerationError InvalidTokenizer, UnsupportedTokenizer
   */
  static fromGguf(values: GgufMetadata): Tokenizer {
    const { tokenizerJson, tokenizerConfig } = tokenizerJsonFromGguf(values);
    return Tokenizer.fromJson(tokenizerJson, tokenizerConfig);
  }

  /**
   * Token ids of a text, `[tokens]`.
   * @throws GenerationError UnknownToken for text outside a vocabulary that has neither bytes nor an unknown token
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    const { addSpecialTokens = true, parseSpecialTokens = false } = options;
    const library = parseSpecialTokens ? this.library : this.plain;
    const { ids, tokens } = library.encode(text, { add_special_tokens: addSpecialTokens });
    // The library answers undefined where there is no unknown token, whatever its types say.
    const unknown = (ids as readonly (number | undefined)[]).indexOf(undefined);
    if (unknown >= 0) {
      const piece = tokens[unknown];
      throw new GenerationError(
        "UnknownToken",
        `The vocabulary has no token for ${JSON.stringify(piece)}. Use the tokenizer of the model.`,
        { piece },
      );
    }
    return Int32Array.from(ids);
  }

  /** Text of token ids. Bytes that are not UTF-8 become U+FFFD; ids without a token have no text. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const skip = options.skipSpecialTokens ?? false;
    const known = Array.from(ids).filter(
      (id) => this.idToToken(id) !== undefined && !(skip && this.isSpecial(id)),
    );
    if (known.length === 0) return "";
    // "Clean-up" removes spaces before punctuation, so that decoded text would not encode to the same tokens.
    return this.library.decode(known, { clean_up_tokenization_spaces: false });
  }

  tokenToId(token: string): number | undefined {
    return this.library.token_to_id(token);
  }

  /** The token as the vocabulary spells it (`Ġthe`), not as text. */
  idToToken(id: number): string | undefined {
    return this.library.id_to_token(id);
  }

  /** How the special tokens are spelled. */
  get specialTokens(): readonly string[] {
    return [...this.addedTokens.values()].flatMap(({ special, content }) =>
      special ? [content] : [],
    );
  }

  /** Whether the token steers the model rather than standing for text. */
  isSpecial(id: number): boolean {
    return this.addedTokens.get(id)?.special ?? false;
  }

  /**
   * By token id the bytes that the token adds to a text, undefined for special tokens and ids without a token.
   * @throws GenerationError UnsupportedTokenizer where a token's text depends on its neighbours
   */
  tokenBytes(): (Uint8Array | undefined)[] {
    const bytesOf = tokenBytes(this.decoder);
    const utf8 = new TextEncoder();
    return Array.from({ length: this.vocabSize }, (_, id) => {
      const added = this.addedTokens.get(id);
      if (added) return added.special ? undefined : utf8.encode(added.content);
      const token = this.idToToken(id);
      return token === undefined ? undefined : bytesOf(token);
    });
  }

  /** Whether the text of these tokens ends within a character whose other bytes are still to come. */
  endsWithinCharacter(ids: readonly number[]): boolean {
    const tokens = ids.slice(-3).map((id) => (this.addedTokens.has(id) ? "" : this.idToToken(id)));
    return this.characters.endWithin(tokens.map((token) => token ?? ""));
  }
}

function build(json: TokenizerJson, config: JsonObject): LibraryTokenizer {
  const { pre_tokenizer } = json;
  try {
    const library = new LibraryTokenizer(
      { ...json, pre_tokenizer: pre_tokenizer && withRustParity(pre_tokenizer) },
      config,
    );
    keepByteOrderMarks(library.decoder);
    return library;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const code = reason.startsWith("Unknown") ? "UnsupportedTokenizer" : "InvalidTokenizer";
    throw new GenerationError(code, `tokenizer.json cannot be used: ${reason}`, {}, { cause });
  }
}

/** Shares the vocabulary, which is nearly all of the memory; only the table of added tokens is smaller. */
function withoutSpecialTokens(
  library: LibraryTokenizer,
  json: TokenizerJson,
  config: JsonObject,
): LibraryTokenizer {
  if (!json.added_tokens.some(({ special }) => special)) return library;
  const ordinary = json.added_tokens.filter(({ special }) => !special);
  const empty = { type: "BPE", vocab: {}, merges: [] };
  const plain = build({ ...json, model: empty, added_tokens: ordinary }, config);
  plain.model = library.model;
  return plain;
}
