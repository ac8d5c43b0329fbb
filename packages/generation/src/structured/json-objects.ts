import { choice, literal, repeat, sequence, type GrammarPart } from "./grammar";
import { colon, comma, longCharacter, plainAscii } from "./json-grammar";

/** A named member of an object. */
export interface Member {
  readonly name: string;
  readonly value: GrammarPart;
  readonly required: boolean;
}

/** Objects with these members in this order, then, where `others` is given, further members with such values. */
export function objectGrammar(
  members: readonly Member[],
  others: GrammarPart | undefined,
): GrammarPart {
  const end = literal("}");
  const other = others && sequence(keyOtherThan(members.map(({ name }) => name)), colon, others);
  // From the last member to the first: what may follow when a member stands before, and when none does.
  let after = other ? sequence(repeat(sequence(comma, other)), end) : end;
  let first = other ? choice(sequence(other, after), end) : end;
  for (const { name, value, required } of members.toReversed()) {
    const member = sequence(literal(JSON.stringify(name)), colon, value);
    const with_ = { after: sequence(comma, member, after), first: sequence(member, after) };
    first = required ? with_.first : choice(with_.first, first);
    after = required ? with_.after : choice(with_.after, after);
  }
  return sequence(literal("{"), first);
}

/** A key that is none of `names`. It has no escapes, so that none of them can be spelled in another way. */
function keyOtherThan(names: readonly string[]): GrammarPart {
  return sequence(literal('"'), endOtherThan(names));
}

/** The rest of a key, with the quote behind it, that is none of `ends`. */
function endOtherThan(ends: readonly string[]): GrammarPart {
  const quote = literal('"');
  const byFirst = new Map<string, string[]>();
  for (const end of ends) {
    const [first] = end;
    if (first === undefined) continue;
    byFirst.set(first, [...(byFirst.get(first) ?? []), end.slice(first.length)]);
  }
  const firsts = [...byFirst.keys()];
  const anyEnd = sequence(repeat(choice(plainAscii(), longCharacter)), quote);
  const options: GrammarPart[] = [sequence(plainAscii(firsts), anyEnd)];
  // A name beyond ASCII forbids all characters of that kind at its place: rare, and simpler than their complement.
  if (firsts.every((first) => first < "\u0080")) options.push(sequence(longCharacter, anyEnd));
  for (const [first, rest] of byFirst) {
    const isPlain = first >= " " && first < "\u0080" && first !== '"' && first !== "\\";
    if (isPlain) options.push(sequence(literal(first), endOtherThan(rest)));
  }
  if (!ends.includes("")) options.push(quote);
  return choice(...options);
}
