import type { GgufValue } from "@transmla/tensor-io";
import { GenerationError } from "../errors";

/** Metadata of a GGUF file by key: the `values` of `openGguf`. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** Kinds of tokens in `tokenizer.ggml.token_type` (llama.cpp, `enum llama_token_type`). */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };

const isNumbers = (value: GgufValue) =>
  value instanceof Float32Array || value instanceof Int32Array;

/** Reads the `tokenizer.*` keys, each refused by name when it has another type than the format says. */
export class TokenizerMetadata {
  readonly tokens: readonly string[];
  private readonly types: ArrayLike<number> | undefined;

  /** @throws GenerationError InvalidTokenizer */
  constructor(private readonly values: GgufMetadata) {
    const tokens = this.strings("tokenizer.ggml.tokens");
    if (tokens === undefined || tokens.length === 0) {
      throw wrong("tokenizer.ggml.tokens", "a list of tokens", tokens);
    }
    this.tokens = tokens;
    this.types = this.numbers("tokenizer.ggml.token_type");
    if (new Set(tokens).size < tokens.length) {
      throw wrong("tokenizer.ggml.tokens", "a list without repetitions", "the same token twice");
    }
  }

  /** Kind of a token; normal where the file does not say. */
  type(id: number): number {
    return this.types?.[id] ?? tokenType.normal;
  }

  string(key: string): string | undefined {
    return this.value(key, "a string", (value) => typeof value === "string");
  }

  flag(key: string): boolean | undefined {
    return this.value(key, "true or false", (value) => typeof value === "boolean");
  }

  strings(key: string): readonly string[] | undefined {
    return this.value(
      key,
      "a list of strings",
      (value) => Array.isArray(value) && value.every((item) => typeof item === "string"),
    );
  }

  /** One number per token. */
  numbers(key: string): ArrayLike<number> | undefined {
    const value = this.value<ArrayLike<number>>(key, "a list of numbers", isNumbers);
    if (value === undefined || value.length === this.tokens.length) return value;
    throw wrong(key, `as long as the ${this.tokens.length} tokens`, `${value.length} numbers`);
  }

  /** A token named by its id, or the given id where the key is absent. */
  token(key: string, fallback?: number): string | undefined {
    const value = this.value<number | bigint>(
      key,
      "a token id",
      (candidate) => typeof candidate === "number" || typeof candidate === "bigint",
    );
    if (value === undefined) return fallback === undefined ? undefined : this.tokens[fallback];
    const token = this.tokens[Number(value)];
    if (token === undefined) throw wrong(key, `below ${this.tokens.length}`, String(value));
    return token;
  }

  private value<T>(
    key: string,
    expected: string,
    accepts: (value: GgufValue) => boolean,
  ): T | undefined {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    if (accepts(value)) return value as GgufValue & T;
    throw wrong(key, expected, typeof value);
  }
}

function wrong(key: string, expected: string, found: unknown): GenerationError {
  return new GenerationError(
    "InvalidTokenizer",
    `GGUF metadata: ${key} must be ${expected}, found ${String(found)}.`,
    { key, expected },
  );
}
