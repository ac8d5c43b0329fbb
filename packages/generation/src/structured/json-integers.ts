import { choice, literal, oneOf, repeat, sequence, type GrammarPart } from "./grammar";

/** Whole numbers are written with at most so many digits, which a number holds exactly. */
const mostDigits = 15;
const largest = 10 ** mostDigits - 1;

/** The integers from `least` to `most`, without leading zeros and without `-0`. Bounds may be infinite; `least <= most`. */
export function integerBetween(least: number, most: number): GrammarPart {
  const options: GrammarPart[] = [];
  const [low, high] = [Math.max(least, -largest), Math.min(most, largest)];
  if (low < 0) {
    const magnitudes = naturals(Math.max(1, -Math.min(high, -1)), -low);
    options.push(sequence(literal("-"), magnitudes));
  }
  if (high >= 0) options.push(naturals(Math.max(0, low), high));
  return choice(...options);
}

/** `0 <= low <= high`: a choice for every number of digits. */
function naturals(low: number, high: number): GrammarPart {
  const options: GrammarPart[] = [];
  for (let length = String(low).length; length <= String(high).length; length++) {
    const first = length === 1 ? 0 : 10 ** (length - 1);
    const from = Math.max(low, first);
    const to = Math.min(high, 10 ** length - 1);
    options.push(sameLength(String(from), String(to)));
  }
  return choice(...options);
}

/** Digit strings of one length from `from` to `to`, in lexicographic order, which is that of the numbers. */
function sameLength(from: string, to: string): GrammarPart {
  const [a, b] = [Number(from[0]), Number(to[0])];
  if (from.length === 1) return digits(a, b);
  const [fromRest, toRest] = [from.slice(1), to.slice(1)];
  const starting = (digit: number, rest: GrammarPart) => sequence(digits(digit, digit), rest);
  if (a === b) return starting(a, sameLength(fromRest, toRest));
  const options = [
    starting(a, sameLength(fromRest, "9".repeat(fromRest.length))),
    starting(b, sameLength("0".repeat(toRest.length), toRest)),
  ];
  if (b - a > 1) {
    const any = repeat(digits(0, 9), fromRest.length, fromRest.length);
    options.push(sequence(digits(a + 1, b - 1), any));
  }
  return choice(...options);
}

function digits(from: number, to: number): GrammarPart {
  return oneOf("0123456789".slice(from, to + 1));
}
