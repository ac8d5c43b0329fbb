import { GenerationError } from "../errors";
import { isObject, type JsonObject } from "./json";

/**
 * The bytes that a token of the vocabulary adds to a text, for the decoder of a `tokenizer.json`.
 * @throws GenerationError UnsupportedTokenizer for decoders that join tokens in a way that depends on their neighbours
 */
export function tokenBytes(decoder: JsonObject | null): (token: string) => Uint8Array {
  const utf8 = new TextEncoder();
  const byCharacter = (character: string): Iterable<number> => {
    const byte = byteOfCharacter.get(character);
    return byte === undefined ? utf8.encode(character) : [byte];
  };
  if (decodes(decoder, "ByteLevel")) {
    return (token) =>
      Uint8Array.from(Array.from(token, byCharacter).flatMap((bytes) => [...bytes]));
  }
  if (decodes(decoder, "ByteFallback") || decodes(decoder, "Metaspace")) {
    return (token) => {
      const byte = fallbackByte(token);
      return byte === undefined ? utf8.encode(token.replaceAll("▁", " ")) : Uint8Array.of(byte);
    };
  }
  if (decoder === null || decoder["type"] === "Fuse") return (token) => utf8.encode(token);
  throw new GenerationError(
    "UnsupportedTokenizer",
    `The text of single tokens is not known for the decoder ${JSON.stringify(decoder["type"])}.`,
    { decoder: decoder["type"] },
  );
}

/** The byte that a token like `<0x0A>` stands for. */
export function fallbackByte(token: string): number | undefined {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token)?.[1];
  return byte === undefined ? undefined : Number.parseInt(byte, 16);
}

/** Whether a decoder is of a type, or a sequence with one. */
export function decodes(decoder: unknown, type: string): boolean {
  if (!isObject(decoder)) return false;
  const parts = decoder["decoders"];
  return (
    decoder["type"] === type || (Array.isArray(parts) && parts.some((part) => decodes(part, type)))
  );
}

const isPrintable = (byte: number) =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);

/** GPT-2 writes a byte as the Latin-1 character of that number, or, where that is not printable, as the next one from U+0100. */
export const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  let next = 0x100;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [
      String.fromCharCode(isPrintable(byte) ? byte : next++),
      byte,
    ]),
  );
})();
