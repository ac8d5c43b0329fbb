import type { CacheStorage, PagePool } from "../device";
import { ranges, type Call, type Pointer } from "./kernels";
import type { Runtime } from "./runtime";

/** As numbered in `assembly/cache.ts`. */
const NUMBERS: Readonly<Record<CacheStorage, number>> = { f32: 0, f16: 1, bf16: 2, i8: 3 };

/** Numbers below which rows are converted on one thread (some 10 microseconds). */
const WORTH_SPLITTING = 32_768;

/** A page pool in memory: rows of `width` numbers, `rowBytes` bytes apart. */
export interface CachePlane {
  readonly pointer: Pointer;
  /** The format's number. */
  readonly storage: number;
  readonly width: number;
  readonly rowBytes: number;
}

/** Rows of float32, as a plane. */
export function floatPlane(pointer: Pointer, width: number): CachePlane {
  return { pointer, storage: NUMBERS.f32, width, rowBytes: 4 * width };
}

export function cachePlane(pointer: Pointer, { storage, width }: PagePool): CachePlane {
  return { pointer, storage: NUMBERS[storage], width, rowBytes: cacheRowBytes(storage, width) };
}

/** Bytes of a row; see `cacheRowBytes` of `assembly/cache.ts`. */
export function cacheRowBytes(storage: CacheStorage, width: number): number {
  if (storage === "f32") return 4 * width;
  return storage === "i8" ? 4 + 4 * Math.ceil(width / 4) : 2 * width;
}

/** Writes float32 rows from `from` on to slots. Of rows for one slot the last stays, so they are written in order. */
export function writeRows(
  runtime: Runtime,
  { pointer, storage, width, rowBytes }: CachePlane,
  from: Pointer,
  slots: Int32Array,
): void {
  const call = (slot: number, t: number): Call => {
    return ["storeRows", pointer + slot * rowBytes, storage, from + 4 * t * width, width, 1];
  };
  slots.forEach((slot, t) => runtime.run([call(slot, t)]));
}

/** Copies slots as float32 rows from `to` on. */
export function readRows(
  runtime: Runtime,
  plane: CachePlane,
  slots: Int32Array,
  to: Pointer,
): void {
  const { width } = plane;
  runtime.run(Array.from(slots, (slot, t) => loadCall(plane, slot, 1, to + 4 * t * width)));
}

/** The calls that copy `count` neighbouring slots as float32 rows to `to`. */
export function loadCalls(
  { threads }: Runtime,
  plane: CachePlane,
  slot: number,
  count: number,
  to: Pointer,
): Call[] {
  const parts = count * plane.width < WORTH_SPLITTING ? 1 : threads;
  return ranges(count, parts, 1).map((range) =>
    loadCall(plane, slot + range.first, range.count, to + 4 * range.first * plane.width),
  );
}

function loadCall(plane: CachePlane, slot: number, count: number, to: Pointer): Call {
  const { pointer, storage, width, rowBytes } = plane;
  return ["loadRows", to, pointer + slot * rowBytes, storage, width, count];
}
