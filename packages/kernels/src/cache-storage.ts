import type { CacheStorage, PageLayout } from "./device";
import { bfloat16, float16 } from "./half";

export const cacheStorages: readonly CacheStorage[] = ["f32", "f16", "bf16", "i8"];

/** The widest row of a storage other than f32. */
export const WIDEST_CONVERTED_ROW = 16_384;

/** The storage of a page pool, float32 unless its layout names another. */
export function cacheStorageOf({ storage = "f32" }: PageLayout): CacheStorage {
  return storage;
}

/** What a cache of a storage holds of one row: every number rounded to the nearest, of two to the even one. */
export function roundRow(row: Float32Array, storage: CacheStorage): Float32Array {
  if (storage === "f32") return row;
  if (storage === "f16") return row.map((x) => float16(toFloat16(x)));
  if (storage === "bf16") return row.map((x) => bfloat16(toBfloat16(x)));
  const most = row.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  const scale = Math.fround(most / 127);
  return row.map((x) => {
    const q = roundEven(Math.fround(x / scale));
    // Bytes have no -0.
    return scale * (Number.isNaN(q) ? 0 : Math.max(-127, Math.min(127, q)) + 0);
  });
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
