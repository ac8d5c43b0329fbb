import { InvalidArgumentError } from "commander";
import type { Flag } from "./command";

/** A flag with a value that may be left out. */
export function optional<Value>(
  flags: string,
  description: string,
  parse: (text: string) => Value,
): Flag<Value | undefined> {
  return { flags, description, parse, fallback: undefined };
}

/** A flag with a value and what it is when left out. */
export function withDefault<Value>(
  flags: string,
  description: string,
  parse: (text: string) => Value,
  fallback: Value,
): Flag<Value> {
  return { flags, description, parse, fallback };
}

/** One of several words. */
export function choice<Word extends string>(
  flags: string,
  description: string,
  choices: readonly Word[],
  fallback: Word,
): Flag<Word> {
  return { flags, description, choices, fallback, parse: word(choices) };
}

/** A flag without a value. */
export function toggle(flags: string, description: string): Flag<boolean> {
  return { flags, description, fallback: false };
}

/** Any text. */
export const text = (value: string): string => value;

/** Any text but the empty one: names of files. */
export function filled(value: string): string {
  if (value !== "") return value;
  throw new InvalidArgumentError("It must not be empty.");
}

/** A whole number, written with digits only. */
export function integer(
  minimum: number,
  maximum = Number.MAX_SAFE_INTEGER,
): (value: string) => number {
  return (value) => {
    const number = /^-?\d+$/.test(value) ? Number(value) : Number.NaN;
    if (Number.isSafeInteger(number) && number >= minimum && number <= maximum) return number;
    throw new InvalidArgumentError(`It must be a whole number ${range(minimum, maximum)}.`);
  };
}

/** Whole numbers with commas between them: `128,1024`. */
export function integers(minimum: number): (value: string) => readonly number[] {
  return listOf(integer(minimum));
}

/** Several values with commas between them: `50%,25%`. */
export function listOf<Value>(one: (value: string) => Value): (value: string) => readonly Value[] {
  return (value) => value.split(",").map((item) => one(item.trim()));
}

/** A rate in operations per second, with a unit in powers of 1000: `989TFLOPS`, `40G`, `4e10`. */
export function flopRate(value: string): number {
  const [, digits = "", unit = ""] =
    /^(.*?) ?([kMGTP]?)(?:FLOPS?|FLOP\/s)?$/i.exec(value.trim()) ?? [];
  const power = ["", "k", "m", "g", "t", "p"].indexOf(unit.toLowerCase());
  const number = decimalPattern.test(digits) ? Number(digits) * 1000 ** power : Number.NaN;
  if (number > 0 && Number.isFinite(number)) return number;
  throw new InvalidArgumentError("It must be operations per second such as 989TFLOPS or 40G.");
}

/** A decimal number. */
export function decimal(minimum: number, maximum = Infinity): (value: string) => number {
  return (value) => {
    const number = decimalPattern.test(value) ? Number(value) : Number.NaN;
    if (number >= minimum && number <= maximum && Number.isFinite(number)) return number;
    throw new InvalidArgumentError(`It must be a number ${range(minimum, maximum)}.`);
  };
}

const decimalPattern = /^-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

function range(minimum: number, maximum: number): string {
  const endless = maximum === Infinity || maximum === Number.MAX_SAFE_INTEGER;
  return endless ? `from ${minimum} on` : `from ${minimum} to ${maximum}`;
}

/** A number of bytes with a unit in powers of 1000: `500MB`, `5 GB`. */
export function byteCount(value: string): number {
  const [, digits, unit = ""] = /^(\d+(?:\.\d+)?) ?([kMGT]?B)$/i.exec(value.trim()) ?? [];
  const power = ["b", "kb", "mb", "gb", "tb"].indexOf(unit.toLowerCase());
  const number = Math.round(Number(digits) * 1000 ** power);
  if (digits !== undefined && number > 0 && Number.isSafeInteger(number)) return number;
  throw new InvalidArgumentError("It must be a number of bytes such as 500MB or 5GB.");
}

/** A part of a whole, `25%` or `0.25`, as a fraction between 0 and 1, both excluded. */
export function part(value: string): number {
  const inPercent = value.endsWith("%");
  const digits = (inPercent ? value.slice(0, -1) : value).trim();
  const number = decimalPattern.test(digits) ? Number(digits) : Number.NaN;
  const fraction = inPercent ? number / 100 : number;
  if (fraction > 0 && fraction < 1) return fraction;
  const meant = number > 1 && number < 100 ? ` Did you mean ${number}%?` : "";
  throw new InvalidArgumentError(
    `It must be between 0% and 100%, such as 25% or 0.25.${inPercent ? "" : meant}`,
  );
}

/** A word of a list, or else what `otherwise` makes of it. */
export function wordOr<Word extends string, Value>(
  special: Word,
  otherwise: (value: string) => Value,
): (value: string) => Word | Value {
  return (value) => (value === special ? special : otherwise(value));
}

/** Some words of a list with commas between them: `complex,centring`. */
export function words<Word extends string>(
  choices: readonly Word[],
): (value: string) => readonly Word[] {
  const one = word(choices);
  return (value) => value.split(",").map((item) => one(item.trim()));
}

/** A word of a list. */
export function word<Word extends string>(choices: readonly Word[]): (value: string) => Word {
  return (value) => {
    const found = choices.find((known) => known === value);
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`Choose one of: ${choices.join(", ")}.`);
  };
}
