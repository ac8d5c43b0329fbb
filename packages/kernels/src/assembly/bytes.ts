import { cacheRowBytes, CACHE_I8 } from "./cache";
import { sum4 } from "./exp";
import { RUN } from "./task";

/**
 * Attention over rows of signed bytes in whole numbers: bytes widened to 16 bits once for all heads meet queries, and
 * weights times the row's scale, that are rounded to 16 bits (error 1.5e-5 of the largest of a query or of a run's
 * weights). Products are exact: `width / 4` or `RUN` products of 32767 * 127 fit 32 bits.
 */

/** `count` rows as 16-bit numbers, `width` apart, and their scales. Up to 32 bytes behind the last row are written. */
export function widenKeys(to: usize, scales: usize, from: usize, width: i32, count: i32): void {
  const rowBytes = cacheRowBytes(CACHE_I8, width);
  for (let row = 0; row < count; row++) {
    store<f32>(scales + <usize>row * 4, load<f32>(from));
    for (let i: usize = 0; i < <usize>width; i += 16) {
      const bytes = v128.load(from + i, 4);
      v128.store(to + i * 2, i16x8.extend_low_i8x16_s(bytes));
      v128.store(to + i * 2, i16x8.extend_high_i8x16_s(bytes), 16);
    }
    to += <usize>width * 2;
    from += rowBytes;
  }
}

/**
 * Neighbouring rows interleaved: both numbers of a column side by side, in 16 bits each. The scales are followed by
 * zeros up to a multiple of 4. Up to 60 bytes behind the last pair are written.
 */
export function widenPairs(to: usize, scales: usize, from: usize, width: i32, count: i32): void {
  const rowBytes = cacheRowBytes(CACHE_I8, width);
  v128.store(scales + <usize>(count & ~3) * 4, i32x4.splat(0));
  for (let row = 0; row < count; row += 2) {
    // The last row stands in for a missing partner, whose weight is 0.
    const partner = row + 1 < count ? from + rowBytes : from;
    store<f32>(scales + <usize>row * 4, load<f32>(from));
    if (row + 1 < count) store<f32>(scales + <usize>row * 4, load<f32>(partner), 4);
    for (let i: usize = 0; i < <usize>width; i += 16) {
      const x = v128.load(from + i, 4);
      const y = v128.load(partner + i, 4);
      const low = v128.shuffle<i8>(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const high = v128.shuffle<i8>(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      v128.store(to + i * 4, i16x8.extend_low_i8x16_s(low));
      v128.store(to + i * 4, i16x8.extend_high_i8x16_s(low), 16);
      v128.store(to + i * 4, i16x8.extend_low_i8x16_s(high), 32);
      v128.store(to + i * 4, i16x8.extend_high_i8x16_s(high), 48);
    }
    to += <usize>width * 4;
    from += 2 * rowBytes;
  }
}

/** Rounds a query to whole numbers of 16 bits, zeros up to a multiple of 8 behind them; returns what one is worth. */
export function roundQuery(to: usize, query: usize, width: i32): f32 {
  const bytes = <usize>width * 4;
  let most = f32x4.splat(0);
  let sums = most;
  let i: usize = 0;
  for (const whole = bytes & ~15; i < whole; i += 16) {
    const x = v128.load(query + i);
    most = f32x4.pmax(most, f32x4.abs(x));
    sums = f32x4.add(sums, x);
  }
  for (; i < bytes; i += 4) {
    const x = v128.load32_zero(query + i);
    most = f32x4.pmax(most, f32x4.abs(x));
    sums = f32x4.add(sums, x);
  }
  const largest = largest4(most);
  const factors = f32x4.splat(largest > 0 ? 32767 / largest : 0);
  for (i = 0; i < bytes; i += 32) {
    const a = f32x4.mul(v128.load(query + i), factors);
    const b = f32x4.mul(v128.load(query + i, 16), factors);
    v128.store(to + (i >> 1), round8(a, b));
  }
  for (let n = width; n < ((width + 7) & ~7); n++) store<i16>(to + <usize>n * 2, 0);
  return (largest + invalid4(sums)) / 32767;
}

@inline
function largest4(x: v128): f32 {
  const pairs = f32x4.pmax(x, v128.shuffle<f32>(x, x, 2, 3, 0, 1));
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1));
}

/** 0, or not a number where a lane is infinite or not a number: largest numbers would hide it. */
@inline
function invalid4(sums: v128): f32 {
  return sum4(f32x4.mul(sums, f32x4.splat(0)));
}

/** The nearest whole numbers of 16 bits. Adding 1.5 * 2^23 rounds and leaves them in the low bits. */
@inline
function round8(a: v128, b: v128): v128 {
  const shifter = f32x4.splat(12582912);
  return v128.shuffle<i16>(f32x4.add(a, shifter), f32x4.add(b, shifter), 0, 2, 4, 6, 8, 10, 12, 14);
}

/**
 * Turns weights into whole numbers of 16 bits, in place, side by side: `weight * scale` in units of the largest over
 * 32767, which is returned. Zeros follow up to a multiple of 8.
 */
export function roundWeights(weights: usize, scales: usize, bytes: usize): f32 {
  let most = f32x4.splat(0);
  let sums = most;
  for (let i: usize = 0; i < bytes; i += 16) {
    const w = f32x4.mul(v128.load(weights + i), v128.load(scales + i));
    most = f32x4.pmax(most, w);
    sums = f32x4.add(sums, w);
    v128.store(weights + i, w);
  }
  if (bytes & 16) v128.store(weights + bytes, i32x4.splat(0));
  const largest = largest4(most);
  const factors = f32x4.splat(largest > 0 ? 32767 / largest : 0);
  for (let i: usize = 0; i < bytes; i += 32) {
    const a = f32x4.mul(v128.load(weights + i), factors);
    const b = f32x4.mul(v128.load(weights + i, 16), factors);
    v128.store(weights + (i >> 1), round8(a, b));
  }
  return (largest + invalid4(sums)) / 32767;
}

/**
 * Logits of two queries with four keys, in one part: `to (+)= unit * scale * q . k`. `unit0` and `unit1` include the
 * factor on logits. The second row of results is `next` bytes behind the first; they may be the same. See `scores.ts` for `left`.
 */
export function scoreBytes2x4(
  q0: usize,
  q1: usize,
  k0: usize,
  stride: usize,
  left: i32,
  width: i32,
  scales: usize,
  unit0: f32,
  unit1: f32,
  to: usize,
  next: usize,
  add: bool,
): void {
  const k1 = left > 1 ? k0 + stride : k0;
  const k2 = left > 2 ? k1 + stride : k1;
  const k3 = left > 3 ? k2 + stride : k2;
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (let i: usize = 0; i < <usize>width * 2; i += 16) {
    const x = v128.load(q0 + i);
    const y = v128.load(q1 + i);
    let k = v128.load(k0 + i);
    a0 = dotAdd(a0, x, k);
    b0 = dotAdd(b0, y, k);
    k = v128.load(k1 + i);
    a1 = dotAdd(a1, x, k);
    b1 = dotAdd(b1, y, k);
    k = v128.load(k2 + i);
    a2 = dotAdd(a2, x, k);
    b2 = dotAdd(b2, y, k);
    k = v128.load(k3 + i);
    a3 = dotAdd(a3, x, k);
    b3 = dotAdd(b3, y, k);
  }
  const factors = v128.load(scales);
  const first = f32x4.mul(sums4(a0, a1, a2, a3), f32x4.mul(factors, f32x4.splat(unit0)));
  const second = f32x4.mul(sums4(b0, b1, b2, b3), f32x4.mul(factors, f32x4.splat(unit1)));
  const before = v128.load(to);
  v128.store(to + next, add ? f32x4.add(v128.load(to + next), second) : second);
  v128.store(to, add ? f32x4.add(before, first) : first);
}

@inline
function dotAdd(sum: v128, x: v128, y: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, y));
}

/** The sums of the lanes of four vectors, as float32. */
@inline
function sums4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return f32x4.convert_i32x4_s(
    i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7)),
  );
}

/** Adds weighted sums of interleaved value rows to four outputs, 8 columns at a time; `bytes` is a multiple of 32. */
export function mixBytes4(
  o0: usize,
  o1: usize,
  o2: usize,
  o3: usize,
  weights: usize,
  units: usize,
  values: usize,
  stride: usize,
  count: i32,
  bytes: usize,
): void {
  const end = weights + <usize>((count + 1) >> 1) * 4;
  for (let column: usize = 0; column < bytes; column += 32) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let b0 = a0;
    let b1 = a0;
    let c0 = a0;
    let c1 = a0;
    let d0 = a0;
    let d1 = a0;
    let value = values + column;
    for (let w = weights; w < end; w += 4) {
      const v0 = v128.load(value);
      const v1 = v128.load(value, 16);
      let p = v128.load32_splat(w);
      a0 = dotAdd(a0, p, v0);
      a1 = dotAdd(a1, p, v1);
      p = v128.load32_splat(w, RUN * 4);
      b0 = dotAdd(b0, p, v0);
      b1 = dotAdd(b1, p, v1);
      p = v128.load32_splat(w, RUN * 8);
      c0 = dotAdd(c0, p, v0);
      c1 = dotAdd(c1, p, v1);
      p = v128.load32_splat(w, RUN * 12);
      d0 = dotAdd(d0, p, v0);
      d1 = dotAdd(d1, p, v1);
      value += stride;
    }
    addScaled(o0 + column, a0, a1, v128.load32_splat(units));
    addScaled(o1 + column, b0, b1, v128.load32_splat(units, 4));
    addScaled(o2 + column, c0, c1, v128.load32_splat(units, 8));
    addScaled(o3 + column, d0, d1, v128.load32_splat(units, 12));
  }
}

/** One output, 8 columns at a time. */
export function mixBytes1(
  output: usize,
  weights: usize,
  unit: f32,
  values: usize,
  stride: usize,
  count: i32,
  bytes: usize,
): void {
  const end = weights + <usize>((count + 1) >> 1) * 4;
  for (let column: usize = 0; column < bytes; column += 32) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let value = values + column;
    for (let w = weights; w < end; w += 4) {
      const p = v128.load32_splat(w);
      a0 = dotAdd(a0, p, v128.load(value));
      a1 = dotAdd(a1, p, v128.load(value, 16));
      value += stride;
    }
    addScaled(output + column, a0, a1, f32x4.splat(unit));
  }
}

@inline
function addScaled(output: usize, a: v128, b: v128, unit: v128): void {
  v128.store(output, f32x4.add(v128.load(output), f32x4.mul(f32x4.convert_i32x4_s(a), unit)));
  const second = f32x4.mul(f32x4.convert_i32x4_s(b), unit);
  v128.store(output, f32x4.add(v128.load(output, 16), second), 16);
}
