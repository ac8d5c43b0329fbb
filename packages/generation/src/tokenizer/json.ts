import { GenerationError } from "../errors";

export type JsonObject = { readonly [key: string]: unknown };

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * A JSON object from its bytes, its text, or itself.
 * @throws GenerationError TokenizerNotJson, InvalidTokenizer (JSON, but no object)
 */
export function jsonObject(source: Uint8Array | string | object, file: string): JsonObject {
  const value =
    typeof source === "string" || source instanceof Uint8Array ? parse(source, file) : source;
  if (isObject(value)) return value;
  throw new GenerationError("InvalidTokenizer", `${file} must be a JSON object.`, { file });
}

function parse(source: Uint8Array | string, file: string): unknown {
  try {
    const text =
      typeof source === "string"
        ? source
        : new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(source);
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new GenerationError(
      "TokenizerNotJson",
      `${file} is not JSON (${reason}). Download it again or pass another file.`,
      { file },
      { cause },
    );
  }
}
