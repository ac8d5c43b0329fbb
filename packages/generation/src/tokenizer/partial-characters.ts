import { isObject, type JsonObject } from "./json";

/** Knows which tokens are bytes rather than text, and whether a run of them stops in the middle of a character. */
export class PartialCharacters {
  private readonly tailOf: (token: string) => number[];

  /** `decoder` is the part of that name of a `tokenizer.json`. */
  constructor(decoder: JsonObject | null) {
    if (contains(decoder, "ByteLevel")) this.tailOf = byteLevelTail;
    else if (contains(decoder, "ByteFallback")) this.tailOf = byteFallbackTail;
    else this.tailOf = () => wholeText();
  }

  /**
   * Whether the bytes of these tokens, laid end to end, stop within a UTF-8 character. The last three tokens are enough.
   * An empty string stands for a token that is whole text by nature.
   */
  endWithin(tokens: readonly string[]): boolean {
    return isUnfinished(tokens.flatMap(this.tailOf));
  }
}

/** Text that shares no character with its neighbours ends like an ASCII character does. */
const wholeText = () => [0, 0, 0];

/** A character has at most four bytes, so an unfinished one shows in the last three. */
function isUnfinished(bytes: readonly number[]): boolean {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    const isContinuation = byte >= 0x80 && byte < 0xc0;
    if (!isContinuation) return lengthAfter(byte) > back;
  }
  return false;
}

/** Bytes of a character by its first one (RFC 3629, section 3); 1 also for bytes that begin none. */
function lengthAfter(lead: number): number {
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 1;
}

function byteLevelTail(token: string): number[] {
  if (token === "") return wholeText();
  return Array.from(token.slice(-3), (character) => byteOfCharacter.get(character) ?? 0);
}

function byteFallbackTail(token: string): number[] {
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token)?.[1];
  return byte === undefined ? wholeText() : [Number.parseInt(byte, 16)];
}

const isPrintable = (byte: number) =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);

/** GPT-2 writes a byte as the Latin-1 character of that number, or, where that is not printable, as the next one from U+0100. */
const byteOfCharacter: ReadonlyMap<string, number> = (() => {
  let next = 0x100;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [
      String.fromCharCode(isPrintable(byte) ? byte : next++),
      byte,
    ]),
  );
})();

function contains(decoder: unknown, type: string): boolean {
  if (!isObject(decoder)) return false;
  const parts = decoder["decoders"];
  return (
    decoder["type"] === type || (Array.isArray(parts) && parts.some((part) => contains(part, type)))
  );
}
