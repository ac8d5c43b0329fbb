import type { GgufCheckpoint } from "./read";
import type { GgufNumberType, GgufValue } from "./values";

/** A number with the type it has in a file. */
export interface GgufNumber {
  readonly type: GgufNumberType;
  readonly value: number | bigint;
}

/** A metadata value to be written: a number says its type, everything else shows it. An empty list is one of strings. */
export type GgufEntry = GgufNumber | Exclude<GgufValue, number | bigint>;

/** True for a single number. */
export function isGgufNumber(entry: GgufEntry): entry is GgufNumber {
  return typeof entry === "object" && "type" in entry;
}

/** The metadata of a file, ready to be written again. */
export function ggufEntries({
  values,
  numberTypes,
}: Pick<GgufCheckpoint, "values" | "numberTypes">): Map<string, GgufEntry> {
  return new Map(
    Array.from(values, ([key, value]): [string, GgufEntry] =>
      typeof value === "number" || typeof value === "bigint"
        ? [key, { type: numberTypes.get(key)!, value }]
        : [key, value],
    ),
  );
}
