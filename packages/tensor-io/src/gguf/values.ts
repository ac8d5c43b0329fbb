import { TensorIoError } from "../errors";
import type { GgufCursor } from "./cursor";

/** Numbers of a metadata array, in the type the file has. */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | BigUint64Array
  | BigInt64Array
  | Float64Array;

/**
 * A metadata value. 64-bit integers are numbers where those are exact and bigints otherwise; arrays of them are always
 * bigint arrays.
 */
export type GgufValue = number | bigint | boolean | string | GgufNumbers | string[] | boolean[];

/** The type of a number in a file. */
export type GgufNumberType =
  | "u8"
  | "i8"
  | "u16"
  | "i16"
  | "u32"
  | "i32"
  | "f32"
  | "u64"
  | "i64"
  | "f64";

interface NumberType {
  readonly name: GgufNumberType;
  readonly bytes: number;
  readonly array: { new (buffer: ArrayBufferLike): GgufNumbers };
}

/** By the type number of the file (`enum gguf_type`). */
const numberTypes: Readonly<Record<number, NumberType>> = {
  0: { name: "u8", bytes: 1, array: Uint8Array },
  1: { name: "i8", bytes: 1, array: Int8Array },
  2: { name: "u16", bytes: 2, array: Uint16Array },
  3: { name: "i16", bytes: 2, array: Int16Array },
  4: { name: "u32", bytes: 4, array: Uint32Array },
  5: { name: "i32", bytes: 4, array: Int32Array },
  6: { name: "f32", bytes: 4, array: Float32Array },
  10: { name: "u64", bytes: 8, array: BigUint64Array },
  11: { name: "i64", bytes: 8, array: BigInt64Array },
  12: { name: "f64", bytes: 8, array: Float64Array },
};
/** Strings or booleans in an array; the largest vocabularies have some hundred thousand. */
const maxItems = 2 ** 24;
export const typeBool = 7;
export const typeString = 8;
export const typeArray = 9;

/** The name of a type number, if it is one of a number. */
export const numberTypeName = (type: number): GgufNumberType | undefined => numberTypes[type]?.name;

const numberTypeEntries = Object.entries(numberTypes).map(
  ([type, entry]) => [Number(type), entry] as const,
);

/** The type number of a name, and the array that holds such numbers. */
export function numberTypeOf(name: GgufNumberType): { type: number; array: NumberType["array"] } {
  const [type, { array }] = numberTypeEntries.find(([, entry]) => entry.name === name)!;
  return { type, array };
}

/** The type number of the items of a typed array. */
export function itemTypeOf(numbers: GgufNumbers): number {
  return numberTypeEntries.find(([, { array }]) => numbers instanceof array)![0];
}

/** Reads a value of a type number. @throws TensorIoError GgufInvalidType, GgufInvalidBool, GgufTooLarge and those of the cursor */
export async function readValue(cursor: GgufCursor, type: number, key: string): Promise<GgufValue> {
  if (type === typeArray) {
    const itemType = await cursor.u32(`the item type of ${key}`);
    const count = await cursor.u64(`the length of ${key}`);
    return readArray(cursor, itemType, count, key);
  }
  if (type === typeString) return cursor.string(key);
  if (type === typeBool) return toBoolean(cursor, (await cursor.bytes(1, key))[0], key);
  const { bytes, array: NumberArray } = numberType(cursor, type, key);
  const [value] = new NumberArray((await cursor.bytes(bytes, key)).buffer);
  return typeof value === "bigint" && Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

async function readArray(
  cursor: GgufCursor,
  type: number,
  count: bigint,
  key: string,
): Promise<GgufValue> {
  const what = `the array ${key}`;
  if (type === typeString) {
    // Every string has at least its own length.
    cursor.expect(count, 8, what);
    cursor.limit(count, maxItems, what);
    const strings: string[] = [];
    for (let i = 0; i < Number(count); i++) strings.push(await cursor.string(key));
    return strings;
  }
  if (type === typeBool) {
    cursor.expect(count, 1, what);
    cursor.limit(count, maxItems, what);
    const bytes = await cursor.bytes(Number(count), key);
    return Array.from(bytes, (byte) => toBoolean(cursor, byte, key));
  }
  const { bytes, array: NumberArray } = numberType(cursor, type, key);
  cursor.expect(count, bytes, what);
  return new NumberArray((await cursor.bytes(Number(count) * bytes, key)).buffer);
}

function numberType(cursor: GgufCursor, type: number, key: string): NumberType {
  const found = numberTypes[type];
  if (found !== undefined) return found;
  const reason = type === typeArray ? "an array of arrays" : `the unknown type ${type}`;
  throw new TensorIoError("GgufInvalidType", `${cursor.file}: ${key} has ${reason}`, {
    file: cursor.file,
    key,
    type,
  });
}

function toBoolean(cursor: GgufCursor, byte: number, key: string): boolean {
  if (byte <= 1) return byte === 1;
  throw new TensorIoError("GgufInvalidBool", `${cursor.file}: ${key} has the boolean ${byte}`, {
    file: cursor.file,
    key,
    byte,
  });
}
