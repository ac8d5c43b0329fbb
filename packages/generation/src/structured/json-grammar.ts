import {
  byteIn,
  choice,
  literal,
  maybe,
  oneOf,
  repeat,
  sequence,
  type GrammarPart,
} from "./grammar";

/*
 * JSON (RFC 8259) as models should write it: a space is allowed after a comma and a colon and nowhere else, so that no model can
 * fill its answer with white space; numbers have at most 15 digits on either side of the point, so that they end and are read
 * back as they were written; text is valid UTF-8 without half surrogates.
 */

/** Between the members of an object and the items of an array. */
export const comma = sequence(literal(","), maybe(literal(" ")));
/** Between a key and its value. */
export const colon = sequence(literal(":"), maybe(literal(" ")));

const continuation = byteIn([0x80, 0xbf]);

/** A character of two to four bytes (RFC 3629, section 4). */
export const longCharacter = choice(
  sequence(byteIn([0xc2, 0xdf]), continuation),
  sequence(byteIn([0xe0, 0xe0]), byteIn([0xa0, 0xbf]), continuation),
  sequence(byteIn([0xe1, 0xec], [0xee, 0xef]), continuation, continuation),
  sequence(byteIn([0xed, 0xed]), byteIn([0x80, 0x9f]), continuation),
  sequence(byteIn([0xf0, 0xf0]), byteIn([0x90, 0xbf]), continuation, continuation),
  sequence(byteIn([0xf1, 0xf3]), continuation, continuation, continuation),
  sequence(byteIn([0xf4, 0xf4]), byteIn([0x80, 0x8f]), continuation, continuation),
);

/** ASCII characters that stand for themselves in a string: neither control characters nor `"` nor `\`. */
export function plainAscii(except: Iterable<string> = []): GrammarPart {
  const excluded = new Set(['"', "\\", ...except]);
  const allowed = Array.from({ length: 0x7f - 0x20 }, (_, index) =>
    String.fromCharCode(0x20 + index),
  ).filter((character) => !excluded.has(character));
  return oneOf(allowed.join(""));
}

const hex = oneOf("0123456789abcdefABCDEF");
const escape = sequence(
  literal("\\"),
  choice(
    oneOf('"\\/bfnrt'),
    sequence(literal("u"), oneOf("0123456789abcefABCEF"), hex, hex, hex),
    sequence(literal("u"), oneOf("dD"), oneOf("01234567"), hex, hex),
  ),
);
const character = choice(plainAscii(), longCharacter, escape);

/** A string of `least` to `most` characters. */
export function jsonString(least = 0, most = Infinity): GrammarPart {
  return sequence(literal('"'), repeat(character, least, most), literal('"'));
}

const digit = oneOf("0123456789");
const wholeNumber = choice(literal("0"), sequence(oneOf("123456789"), repeat(digit, 0, 14)));

export const jsonInteger = choice(
  wholeNumber,
  sequence(literal("-"), oneOf("123456789"), repeat(digit, 0, 14)),
);

export const jsonNumber = sequence(
  maybe(literal("-")),
  wholeNumber,
  maybe(sequence(literal("."), repeat(digit, 1, 15))),
  maybe(sequence(oneOf("eE"), maybe(oneOf("+-")), repeat(digit, 1, 2))),
);

export const jsonBoolean = choice(literal("true"), literal("false"));
export const jsonNull = literal("null");

/** An array of `least` to `most` equal items. */
export function jsonArray(item: GrammarPart, least = 0, most = Infinity): GrammarPart {
  if (most === 0) return literal("[]");
  const further = repeat(sequence(comma, item), Math.max(0, least - 1), most - 1);
  const filled = sequence(item, further);
  return sequence(literal("["), least === 0 ? maybe(filled) : filled, literal("]"));
}

/** Any object. */
export const jsonObject: GrammarPart = {
  kind: "reference",
  resolve: () => anyObject,
};

/** Any value. */
export const jsonValue: GrammarPart = { kind: "reference", resolve: () => anyValue };

const anyMember = sequence(jsonString(), colon, jsonValue);
const anyObject = sequence(
  literal("{"),
  maybe(sequence(anyMember, repeat(sequence(comma, anyMember)))),
  literal("}"),
);
const anyValue = choice(
  jsonObject,
  jsonArray(jsonValue),
  jsonString(),
  jsonNumber,
  jsonBoolean,
  jsonNull,
);
