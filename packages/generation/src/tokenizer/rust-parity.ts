import { ByteFallbackDecoder, SequenceDecoder, type Decoder } from "@huggingface/tokenizers";
import type { JsonObject } from "./json";

/** How GPT-2 splits text into words: contractions, letters, digits, the rest, white space. */
export const gpt2Words =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A pre-tokenizer that makes every match of a pattern, and everything between matches, a piece of its own. */
export function isolate(pattern: string): JsonObject {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/**
 * Rewrites pre-tokenizers whose JavaScript version differs from the Rust one that made the vocabulary:
 *
 * - `Digits` splits at ASCII digits only, the original at every `\p{N}`;
 * - `ByteLevel` splits at JavaScript's white space (with U+FEFF, without U+0085), the original at Unicode's;
 * - `Metaspace` never splits, the original does before every replacement unless told otherwise.
 */
export function withRustParity(preTokenizer: JsonObject): JsonObject {
  switch (preTokenizer["type"]) {
    case "Sequence": {
      const parts = preTokenizer["pretokenizers"];
      if (!Array.isArray(parts)) return preTokenizer;
      return sequence(...parts.map((part) => withRustParity(part as JsonObject)));
    }
    case "Digits":
      return isolate(preTokenizer["individual_digits"] === true ? "\\p{N}" : "\\p{N}+");
    case "ByteLevel": {
      // The space must come before the split, so this form is left to the library.
      const prefixed = preTokenizer["add_prefix_space"] === true;
      if (preTokenizer["use_regex"] === false || prefixed) return preTokenizer;
      return sequence(isolate(gpt2Words), { ...preTokenizer, use_regex: false });
    }
    case "Metaspace": {
      if (preTokenizer["split"] === false) return preTokenizer;
      const mark = String(preTokenizer["replacement"] ?? "▁").replace(/[\\\]^-]/g, "\\$&");
      return sequence(preTokenizer, isolate(`[${mark}][^${mark}]*|[^${mark}]+`));
    }
    default:
      return preTokenizer;
  }
}

function sequence(...pretokenizers: readonly JsonObject[]): JsonObject {
  return { type: "Sequence", pretokenizers };
}

/** Keeps U+FEFF in text that is decoded from bytes; the library takes it for a byte order mark. */
export function keepByteOrderMarks(decoder: Decoder | null): void {
  if (decoder instanceof SequenceDecoder) decoder.decoders.forEach(keepByteOrderMarks);
  if (decoder instanceof ByteFallbackDecoder) {
    decoder.text_decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  }
}
