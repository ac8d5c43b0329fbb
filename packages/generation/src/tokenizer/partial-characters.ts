import { byteOfCharacter, decodes, fallbackByte } from "./byte-tokens";
import type { JsonObject } from "./json";

/** Knows which tokens are bytes rather than text, and whether a run of them stops in the middle of a character. */
export class PartialCharacters {
  private readonly tailOf: (token: string) => number[];

  /** `decoder` is the part of that name of a `tokenizer.json`. */
  constructor(decoder: JsonObject | null) {
    if (decodes(decoder, "ByteLevel")) this.tailOf = byteLevelTail;
    else if (decodes(decoder, "ByteFallback")) this.tailOf = byteFallbackTail;
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
  const byte = fallbackByte(token);
  return byte === undefined ? wholeText() : [byte];
}
