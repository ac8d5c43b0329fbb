import { GenerationError } from "../errors";
import { gpt2Words } from "./rust-parity";

/** How a byte-level vocabulary splits text before merging, by the name that llama.cpp gives it. */
export interface GgufWords {
  /** Patterns applied one after the other: matches and what lies between them become pieces. */
  readonly patterns: readonly string[];
  /** A piece that is a token is taken whole, whatever the merges say. */
  readonly ignoreMerges?: boolean;
  /** Begin with the `bos` token unless `tokenizer.ggml.add_bos_token` says otherwise. */
  readonly addBos?: boolean;
  /** The vocabulary was made of text in Unicode normalization form C. */
  readonly composed?: boolean;
}

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const marksAndSpaces = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const gpt4Words = (digits: string) =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}|${marksAndSpaces}`;

const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const tekkenWords =
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*|` +
  "\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const gpt2: GgufWords = { patterns: [gpt2Words] };
const singleDigits: GgufWords = { patterns: ["\\p{N}", gpt2Words] };
const llama3: GgufWords = {
  patterns: [gpt4Words("\\p{N}{1,3}")],
  ignoreMerges: true,
  addBos: true,
};
const qwen2: GgufWords = { patterns: [gpt4Words("\\p{N}")], composed: true };
const tekken: GgufWords = { patterns: [tekkenWords], ignoreMerges: true, addBos: true };
/** What llama.cpp falls back to for files that were made before the key existed. */
const unnamed: GgufWords = {
  patterns: ["[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2Words, "\\p{N}+", "[0-9][0-9][0-9]"],
};

const byName: ReadonlyMap<string, GgufWords> = new Map([
  ["default", unnamed],
  ["gpt-2", gpt2],
  ["phi-2", gpt2],
  ["olmo", gpt2],
  ["smollm", singleDigits],
  ["starcoder", singleDigits],
  ["refact", singleDigits],
  ["llama-bpe", llama3],
  ["llama3", llama3],
  ["llama-v3", llama3],
  ["qwen2", qwen2],
  ["deepseek-r1-qwen", qwen2],
  ["tekken", tekken],
]);

/** One name for every way of splitting. */
export const canonicalWords = ["gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "default"];

/** @throws GenerationError UnsupportedTokenizer */
export function ggufWords(name: string): GgufWords {
  const words = byName.get(name);
  if (words !== undefined) return words;
  const known = [...byName.keys()].join(", ");
  throw new GenerationError(
    "UnsupportedTokenizer",
    `GGUF metadata: tokenizer.ggml.pre "${name}" is not supported; known are ${known}. ` +
      "Use the model's tokenizer.json instead.",
    { name, known },
  );
}
