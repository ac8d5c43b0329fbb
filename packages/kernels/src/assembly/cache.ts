import { halves4 } from "./quants";
import { widenF16 } from "./panels";

/** Formats of cached rows, as numbered in `cpu/cache-rows.ts`. */
export const CACHE_F32: i32 = 0;
const CACHE_F16: i32 = 1;
const CACHE_BF16: i32 = 2;
export const CACHE_I8: i32 = 3;

/** Bytes of a row of `width` numbers; one of signed bytes begins with its scale. */
@inline
export function cacheRowBytes(storage: i32, width: i32): usize {
  if (storage == CACHE_F32) return <usize>width * 4;
  if (storage == CACHE_F16 || storage == CACHE_BF16) return <usize>width * 2;
  return 4 + <usize>((width + 3) & ~3);
}

/** Rounds one row of float32 to the nearest numbers (of two, the even one) of a format. */
export function storeRows(to: usize, storage: i32, from: usize, width: i32, count: i32): void {
  for (let row = 0; row < count; row++) {
    if (storage == CACHE_F32) memory.copy(to, from, <usize>width * 4);
    else if (storage == CACHE_F16) storeF16(to, from, width);
    else if (storage == CACHE_BF16) storeBf16(to, from, width);
    else storeI8(to, from, width);
    to += cacheRowBytes(storage, width);
    from += <usize>width * 4;
  }
}

function storeF16(to: usize, from: usize, width: i32): void {
  for (let i: usize = 0; i < <usize>width; i++) {
    const bits = load<u32>(from + i * 4);
    const magnitude = bits & 0x7fffffff;
    let half: u32;
    if (magnitude >= 0x47800000) half = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
    else if (magnitude < 0x38800000) half = <u32>nearest(reinterpret<f32>(magnitude) * 16777216);
    else half = (magnitude - (112 << 23) + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    store<u16>(to + i * 2, <u16>(half | ((bits >> 16) & 0x8000)));
  }
}

function storeBf16(to: usize, from: usize, width: i32): void {
  for (let i: usize = 0; i < <usize>width; i++) {
    const bits = load<u32>(from + i * 4);
    const isNaN = (bits & 0x7fffffff) > 0x7f800000;
    const rounded = isNaN ? bits | 0x400000 : bits + 0x7fff + ((bits >> 16) & 1);
    store<u16>(to + i * 2, <u16>(rounded >> 16));
  }
}

/** `scale = max |x| / 127`, `q = x / scale`. */
function storeI8(to: usize, from: usize, width: i32): void {
  let most: f32 = 0;
  for (let i: usize = 0; i < <usize>width; i++) most = max(most, abs(load<f32>(from + i * 4)));
  const scale: f32 = most / 127;
  store<f32>(to, scale);
  to += 4;
  for (let i: usize = 0; i < <usize>width; i++) {
    const q = nearest(load<f32>(from + i * 4) / scale);
    // A row with NaN or infinity has such a scale, whatever is stored here.
    store<i8>(to + i, q >= -127 ? (q <= 127 ? <i8>q : 127) : q < -127 ? -127 : 0);
  }
}

/** Copies `count` neighbouring rows as float32. */
export function loadRows(to: usize, from: usize, storage: i32, width: i32, count: i32): void {
  loadSlices(to, from, storage, width, 0, width, count);
}

/** Copies numbers `first … first + slice - 1` of `count` neighbouring rows of `width` numbers, as float32. */
export function loadSlices(
  to: usize,
  from: usize,
  storage: i32,
  width: i32,
  first: usize,
  slice: i32,
  count: i32,
): void {
  const bytes = cacheRowBytes(storage, width);
  for (let row = 0; row < count; row++) {
    if (storage == CACHE_F32) memory.copy(to, from + first * 4, <usize>slice * 4);
    else if (storage == CACHE_F16) loadF16(to, from + first * 2, slice);
    else if (storage == CACHE_BF16) loadBf16(to, from + first * 2, slice);
    else loadI8(to, from + 4 + first, load<f32>(from), slice);
    to += <usize>slice * 4;
    from += bytes;
  }
}

function loadF16(to: usize, from: usize, width: i32): void {
  const infinity = i32x4.splat(0x7f800000);
  const largest = f32x4.splat(65504);
  let i: usize = 0;
  for (const whole = <usize>(width & ~3); i < whole; i += 4) {
    const x = halves4(from + i * 2);
    const special = f32x4.gt(f32x4.abs(x), largest);
    v128.store(to + i * 4, v128.or(x, v128.and(special, infinity)));
  }
  for (; i < <usize>width; i++) store<f32>(to + i * 4, widenF16(load<u16>(from + i * 2)));
}

function loadBf16(to: usize, from: usize, width: i32): void {
  let i: usize = 0;
  for (const whole = <usize>(width & ~3); i < whole; i += 4) {
    v128.store(to + i * 4, i32x4.shl(v128.load_ext<u16>(from + i * 2), 16));
  }
  for (; i < <usize>width; i++) store<u32>(to + i * 4, <u32>load<u16>(from + i * 2) << 16);
}

function loadI8(to: usize, from: usize, scale: f32, width: i32): void {
  const scales = f32x4.splat(scale);
  let i: usize = 0;
  for (const whole = <usize>(width & ~7); i < whole; i += 8) {
    const shorts = v128.load_ext<i8>(from + i);
    const low = f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(shorts));
    const high = f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(shorts));
    v128.store(to + i * 4, f32x4.mul(low, scales));
    v128.store(to + i * 4, f32x4.mul(high, scales), 16);
  }
  for (; i < <usize>width; i++) store<f32>(to + i * 4, scale * <f32>load<i8>(from + i));
}
