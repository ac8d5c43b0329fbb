/**
 * Parts of a grammar over bytes. They are plain data and may be shared; `reference` makes recursion possible and is looked up when
 * it is first needed.
 */
export type GrammarPart =
  | { readonly kind: "bytes"; readonly allows: Uint8Array }
  | { readonly kind: "sequence"; readonly parts: readonly GrammarPart[] }
  | { readonly kind: "choice"; readonly parts: readonly GrammarPart[] }
  | {
      readonly kind: "repeat";
      readonly part: GrammarPart;
      readonly least: number;
      readonly most: number;
    }
  | { readonly kind: "reference"; readonly resolve: () => GrammarPart };

/** One byte out of inclusive ranges. */
export function byteIn(...ranges: readonly (readonly [from: number, to: number])[]): GrammarPart {
  const allows = new Uint8Array(256);
  for (const [from, to] of ranges) allows.fill(1, from, to + 1);
  return { kind: "bytes", allows };
}

const singleBytes = Array.from({ length: 256 }, (_, byte) => byteIn([byte, byte]));

/** Exactly this text, in UTF-8. */
export function literal(text: string): GrammarPart {
  return sequence(...Array.from(new TextEncoder().encode(text), (byte) => singleBytes[byte]!));
}

/** One character of an ASCII text. */
export function oneOf(characters: string): GrammarPart {
  return byteIn(
    ...Array.from(characters, (character): [number, number] => [
      character.charCodeAt(0),
      character.charCodeAt(0),
    ]),
  );
}

/** One part after the other. */
export function sequence(...parts: readonly GrammarPart[]): GrammarPart {
  return { kind: "sequence", parts };
}

/** Any one of the parts. */
export function choice(...parts: readonly GrammarPart[]): GrammarPart {
  return parts.length === 1 ? parts[0]! : { kind: "choice", parts };
}

/** A part `least` to `most` times. */
export function repeat(part: GrammarPart, least = 0, most = Infinity): GrammarPart {
  return { kind: "repeat", part, least, most };
}

/** A part or nothing. */
export function maybe(part: GrammarPart): GrammarPart {
  return choice(part, sequence());
}
