import type { CacheStorage, PageLayout } from "./device";
import { bfloat16, float16 } from "./half";

export const cacheStorages: readonly CacheStorage[] = ["f32", "f16", "bf16", "i8"];

/** The widest row of a storage other than f32. */
export const WIDEST_CONVERTED_ROW = 16_384;

/** The storage of a page pool, float32 unless its layout names another. */
export function cacheStorageOf({ storage = "f32" }: PageLayout): CacheStorage {
  return storage;
}

/** Bytes of a row of `width` numbers as it is stored, without padding; one of signed bytes begins with its scale. */
export function storedRowBytes(storage: CacheStorage, width: number): number {
  if (storage === "f32") return 4 * width;
  return storage === "i8" ? 4 + width : 2 * width;
}

/** What a cache of a storage holds of one row: every number rounded to the nearest, of two to the even one. */
export function roundRow(row: Float32Array, storage: CacheStorage): Float32Array {
  if (storage === "f32") return row;
  if (storage === "f16") return row.map((x) => float16(toFloat16(x)));
  if (storage === "bf16") return row.map((x) => bfloat16(toBfloat16(x)));
  const scale = rowScale(row);
  return row.map((x) => {
    const q = roundEven(Math.fround(x / scale));
    // Bytes have no -0.
    return scale * (Number.isNaN(q) ? 0 : Math.max(-127, Math.min(127, q)) + 0);
  });
}

/** The scale of a row of signed bytes: `max |x| / 127`. */
export function rowScale(row: Float32Array): number {
  return Math.fround(row.reduce((m, x) => Math.max(m, Math.abs(x)), 0) / 127);
}

/** A rounded row as it is stored. @param scale of `i8` */
export function encodeStoredRow(
  row: Float32Array,
  storage: CacheStorage,
  scale: number,
): Uint8Array {
  const bytes = new Uint8Array(storedRowBytes(storage, row.length));
  const view = new DataView(bytes.buffer);
  if (storage === "i8") view.setFloat32(0, scale, true);
  row.forEach((x, i) => {
    if (storage === "f32") view.setFloat32(4 * i, x, true);
    else if (storage === "f16") view.setUint16(2 * i, toFloat16(x), true);
    else if (storage === "bf16") view.setUint16(2 * i, toBfloat16(x), true);
    else view.setInt8(4 + i, Math.round(x / scale) || 0);
  });
  return bytes;
}

/** The numbers of a row as it is stored. */
export function decodeStoredRow(bytes: Uint8Array, storage: CacheStorage): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (storage === "i8") {
    const scale = view.getFloat32(0, true);
    return Float32Array.from({ length: bytes.length - 4 }, (_, i) => scale * view.getInt8(4 + i));
  }
  if (storage === "f32") {
    return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
  }
  const decode = storage === "f16" ? float16 : bfloat16;
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) =>
    decode(view.getUint16(2 * i, true)),
  );
}

/** The nearest whole number, of two the even one. */
function roundEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : rounded;
}

const word = new DataView(new ArrayBuffer(4));

function bitsOf(x: number): number {
  word.setFloat32(0, x);
  return word.getUint32(0);
}

function toBfloat16(x: number): number {
  const bits = bitsOf(x);
  return (Number.isNaN(x) ? bits | 0x400000 : bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function toFloat16(x: number): number {
  const sign = (bitsOf(x) >>> 16) & 0x8000;
  const magnitude = Math.abs(x);
  if (Number.isNaN(x)) return 0x7e00;
  if (magnitude >= 65_520) return sign | 0x7c00;
  // Steps of 2^-24 below 2^-14, and 1024 steps from each power of two to the next.
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude)));
  const steps = roundEven(magnitude * 2 ** (10 - exponent));
  return sign | (((exponent + 14) << 10) + steps);
}
