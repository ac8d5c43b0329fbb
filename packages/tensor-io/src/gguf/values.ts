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

interface NumberType {
  readonly bytes: number;
  /** A view of aligned little-endian bytes. */
  readonly view: (buffer: ArrayBufferLike) => GgufNumbers;
}

/** By the type number of the file. */
const numberTypes: Readonly<Record<number, NumberType>> = {
  0: { bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  1: { bytes: 1, view: (buffer) => new Int8Array(buffer) },
  2: { bytes: 2, view: (buffer) => new Uint16Array(buffer) },
  3: { bytes: 2, view: (buffer) => new Int16Array(buffer) },
  4: { bytes: 4, view: (buffer) => new Uint32Array(buffer) },
  5: { bytes: 4, view: (buffer) => new Int32Array(buffer) },
  6: { bytes: 4, view: (buffer) => new Float32Array(buffer) },
  10: { bytes: 8, view: (buffer) => new BigUint64Array(buffer) },
  11: { bytes: 8, view: (buffer) => new BigInt64Array(buffer) },
  12: { bytes: 8, view: (buffer) => new Float64Array(buffer) },
};
/** The type number of a u32, which `general.alignment` must have. */
export const typeU32 = 4;
/** Strings or booleans in an array; the largest vocabularies have some hundred thousand. */
const maxItems = 2 ** 24;
const typeBool = 7;
const typeString = 8;
const typeArray = 9;

/** Reads a value of a type number. @throws TensorIoError GgufInvalidType, GgufInvalidBool, GgufTooLarge and those of the cursor */
export async function readValue(cursor: GgufCursor, type: number, key: string): Promise<GgufValue> {
  if (type === typeArray) {
    const itemType = await cursor.u32(`the item type of ${key}`);
    const count = await cursor.u64(`the length of ${key}`);
    return readArray(cursor, itemType, count, key);
  }
  if (type === typeString) return cursor.string(key);
  if (type === typeBool) return toBoolean(cursor, (await cursor.bytes(1, key))[0], key);
  const { bytes, view } = numberType(cursor, type, key);
  const [value] = view((await cursor.bytes(bytes, key)).buffer);
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
  const { bytes, view } = numberType(cursor, type, key);
  cursor.expect(count, bytes, what);
  return view((await cursor.bytes(Number(count) * bytes, key)).buffer);
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
