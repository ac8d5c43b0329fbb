import { madd } from "./madd";
import { panelOf, panelRows, stepBytes, stripOf, vectorStep } from "./panels";
import {
  groupBytes,
  groupHeadBytes,
  groupsPerStep,
  hasMinima,
  headBytes,
  minima4,
  scales4,
} from "./quants";
import { I8, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0 } from "./storages";

/**
 * Many rows of `x` times quantised weights, in the whole numbers of `prepare.ts`: a strip of 8 rows of weights is unpacked to
 * 16 bits, then met by four rows of `x` at a time. Each output is summed in the order of `vector-quantised.ts`, so that a
 * row's result does not depend on how many others there are.
 *
 * An unpacked group takes 608 bytes: 16 pairs of inputs (two vectors each: rows 0–3 and 4–7), the scales of the 8 rows for
 * each half of the group, and what is added per unit of the inputs' sum.
 */
const GROUP_BYTES: usize = 608;
const SCALES: usize = 512;
const MINIMA: usize = 576;
/** Groups unpacked at once: 11 KB, which stay in the first-level cache for all rows of a block. */
const GROUPS: i32 = 18;

/** Bytes for unpacked groups. */
export const UNPACKED_BYTES: usize = <usize>GROUPS * GROUP_BYTES;

/** Four prepared rows, word by word: 80 bytes per group and row. */
const QUAD_GROUP: usize = 320;
const QUAD_SCALES: usize = 256;
const QUAD_SUMS: usize = 272;

/**
 * `sums[r] (8 numbers each) = W x_r` of the strip that holds output `row`, for `quads` times four rows of `x` (see
 * `QUAD_GROUP`). `sums` begin as zeros; the scales of `I8` rows are applied by the caller.
 */
export function multiplyStrip(
  sums: usize,
  quads: usize,
  count: i32,
  panels: usize,
  storage: i32,
  inputs: i32,
  row: i32,
  unpacked: usize,
): void {
  const groups = (inputs + 31) >> 5;
  const quadBytes = <usize>groups * QUAD_GROUP;
  const strip = stripOf(panels, storage, inputs, row);
  for (let g = 0; g < groups; g += GROUPS) {
    const some = min(GROUPS, groups - g);
    unpack(unpacked, strip, storage, g, some);
    for (let q = 0; q < count; q++) {
      const x = quads + <usize>q * quadBytes + <usize>g * QUAD_GROUP;
      const to = sums + <usize>q * 128;
      if (storage == Q6_K) tileOfHalves(to, x, unpacked, some);
      else if (storage == I8) tileWithoutScales(to, x, unpacked, some);
      else if (storage == Q4_1 || storage == Q4_K) tileWithMinima(to, x, unpacked, some);
      else tileWithScales(to, x, unpacked, some);
    }
  }
}

/** Address of the scales of a strip of `I8`. */
export function stripScales(panels: usize, inputs: i32, row: i32): usize {
  return panelOf(panels, I8, inputs, row) + <usize>(row & (panelRows(I8) - 8)) * 4;
}

// The module exports the tiles, for one reason: what it exports is not merged into one function that asks for the storage
// in its innermost loop, where engines would not join vectors.

/** Two scales per group. */
export function tileOfHalves(sums: usize, x: usize, w: usize, groups: i32): void {
  tileOf(Q6_K, sums, x, w, groups);
}

export function tileWithoutScales(sums: usize, x: usize, w: usize, groups: i32): void {
  tileOf(I8, sums, x, w, groups);
}

export function tileWithMinima(sums: usize, x: usize, w: usize, groups: i32): void {
  tileOf(Q4_1, sums, x, w, groups);
}

export function tileWithScales(sums: usize, x: usize, w: usize, groups: i32): void {
  tileOf(Q8_0, sums, x, w, groups);
}

/** To be inlined with a constant `storage`, which stands for those with the same parts. */
@inline
function tileOf(storage: i32, sums: usize, x: usize, w: usize, groups: i32): void {
  for (let g = 0; g < groups; g++) {
    if (storage == Q6_K) {
      pairs(storage, sums, x, w, 8, 0);
      pairs(storage, sums, x + 128, w + 256, 8, 1);
    } else {
      pairs(storage, sums, x, w, 16, 0);
    }
    x += QUAD_GROUP;
    w += GROUP_BYTES;
  }
}

/** `sums += scale * (whole sums of so many pairs)`, four rows of `x` times 8 rows of weights. An exit follows every step: see `tile4x8`. */
@inline
function pairs(storage: i32, sums: usize, x: usize, w: usize, count: i32, part: usize): void {
  let c00 = i32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  let a = x;
  let b = w;
  for (let k = count; ; k -= 2) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let s = v128.load32_splat(a);
    c00 = dotAdd(c00, s, b0);
    c01 = dotAdd(c01, s, b1);
    s = v128.load32_splat(a, 4);
    c10 = dotAdd(c10, s, b0);
    c11 = dotAdd(c11, s, b1);
    s = v128.load32_splat(a, 8);
    c20 = dotAdd(c20, s, b0);
    c21 = dotAdd(c21, s, b1);
    s = v128.load32_splat(a, 12);
    c30 = dotAdd(c30, s, b0);
    c31 = dotAdd(c31, s, b1);
    if (k == 1) break;
    a += 16;
    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    s = v128.load32_splat(a);
    c00 = dotAdd(c00, s, b0);
    c01 = dotAdd(c01, s, b1);
    s = v128.load32_splat(a, 4);
    c10 = dotAdd(c10, s, b0);
    c11 = dotAdd(c11, s, b1);
    s = v128.load32_splat(a, 8);
    c20 = dotAdd(c20, s, b0);
    c21 = dotAdd(c21, s, b1);
    s = v128.load32_splat(a, 12);
    c30 = dotAdd(c30, s, b0);
    c31 = dotAdd(c31, s, b1);
    if (k == 2) break;
    a += 16;
    b += 64;
  }
  // From the first pair of the part back to the group.
  const group = w - part * 256;
  const quad = x - part * 128;
  const low = v128.load(group + SCALES + part * 32);
  const high = v128.load(group + SCALES + part * 32, 16);
  flush(storage, sums, c00, c01, group, low, high, quad, 0);
  flush(storage, sums + 32, c10, c11, group, low, high, quad, 4);
  flush(storage, sums + 64, c20, c21, group, low, high, quad, 8);
  flush(storage, sums + 96, c30, c31, group, low, high, quad, 12);
}

@inline
function dotAdd(sum: v128, a: v128, b: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

/** One row of `x`, the one at `lane` bytes. */
@inline
function flush(
  storage: i32,
  sums: usize,
  low: v128,
  high: v128,
  group: usize,
  lowScale: v128,
  highScale: v128,
  quad: usize,
  lane: usize,
): void {
  const unit = v128.load32_splat(quad + lane, QUAD_SCALES);
  const a = storage == I8 ? unit : f32x4.mul(lowScale, unit);
  const b = storage == I8 ? unit : f32x4.mul(highScale, unit);
  let f0 = madd(v128.load(sums), f32x4.convert_i32x4_s(low), a);
  let f1 = madd(v128.load(sums, 16), f32x4.convert_i32x4_s(high), b);
  if (storage == Q4_1) {
    const total = load<i32>(quad + lane, QUAD_SUMS) + load<i32>(quad + lane, QUAD_SUMS + 16);
    const sum = f32x4.mul(unit, f32x4.splat(<f32>total));
    f0 = madd(f0, v128.load(group, MINIMA), sum);
    f1 = madd(f1, v128.load(group, MINIMA + 16), sum);
  }
  v128.store(sums, f0);
  v128.store(sums, f1, 16);
}

/** Groups `first … first + count - 1` of a strip. */
function unpack(to: usize, strip: usize, storage: i32, first: i32, count: i32): void {
  if (storage == I8) unpackGroups(I8, to, strip, first, count);
  else if (storage == Q8_0) unpackGroups(Q8_0, to, strip, first, count);
  else if (storage == Q4_0) unpackGroups(Q4_0, to, strip, first, count);
  else if (storage == Q4_1) unpackGroups(Q4_1, to, strip, first, count);
  else if (storage == Q4_K) unpackGroups(Q4_K, to, strip, first, count);
  else unpackGroups(Q6_K, to, strip, first, count);
}

@inline
function unpackGroups(storage: i32, to: usize, strip: usize, first: i32, count: i32): void {
  for (let g = first; g < first + count; g++) {
    const head = strip + <usize>(g / groupsPerStep(storage)) * stepBytes(storage);
    const group = head + headBytes(storage) + <usize>(g % groupsPerStep(storage)) * groupBytes(storage);
    const quants = group + groupHeadBytes(storage);
    if (storage == I8 || storage == Q8_0) unpack8(storage, to, quants);
    else if (storage == Q6_K) {
      const upper = quants + 8 * vectorStep(Q6_K);
      unpack6(to, quants, upper);
      unpack6(to + 256, quants + 4 * vectorStep(Q6_K), upper + 2 * vectorStep(Q6_K));
    } else unpack4(storage, to, quants);
    if (storage != I8) {
      for (let part: usize = 0; part < (storage == Q6_K ? 2 : 1); part++) {
        v128.store(to + part * 32, scales4(storage, head, group, 0, part), SCALES);
        v128.store(to + part * 32, scales4(storage, head, group, 1, part), SCALES + 16);
      }
    }
    if (hasMinima(storage)) {
      v128.store(to, minima4(storage, head, group, 0), MINIMA);
      v128.store(to, minima4(storage, head, group, 1), MINIMA + 16);
    }
    to += GROUP_BYTES;
  }
}

@inline
function unpack8(storage: i32, to: usize, quants: usize): void {
  const byte = i16x8.splat(0xff);
  const centre = i16x8.splat(128);
  for (let v = 0; v < 16; v++) {
    const lanes = v128.load(quants);
    v128.store(to, i16x8.sub(v128.and(lanes, byte), centre));
    v128.store(to, i16x8.shr_s(lanes, 8), 16);
    quants += vectorStep(storage);
    to += 32;
  }
}

@inline
function unpack4(storage: i32, to: usize, quants: usize): void {
  const nibble = i16x8.splat(0xf);
  const centre = i16x8.splat(storage == Q4_0 ? 8 : 0);
  for (let v = 0; v < 8; v++) {
    const lanes = v128.load(quants);
    v128.store(to, i16x8.sub(v128.and(lanes, nibble), centre));
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(lanes, 4), nibble), centre), 16);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(lanes, 8), nibble), centre), 32);
    v128.store(to, i16x8.sub(i16x8.shr_u(lanes, 12), centre), 48);
    quants += vectorStep(storage);
    to += 64;
  }
}

/** 16 inputs: four vectors of nibbles, two of upper bits. */
function unpack6(to: usize, quants: usize, upper: usize): void {
  const nibble = i16x8.splat(0xf);
  const bits = i16x8.splat(0x30);
  const centre = i16x8.splat(32);
  for (let v = 0; v < 4; v++) {
    const lanes = v128.load(quants + <usize>v * vectorStep(Q6_K));
    let top = v128.load(upper + <usize>(v >> 1) * vectorStep(Q6_K));
    if (v & 1) top = i16x8.shr_u(top, 8);
    v128.store(to, six(v128.and(lanes, nibble), i16x8.shl(top, 4), bits, centre));
    v128.store(to, six(v128.and(i16x8.shr_u(lanes, 4), nibble), i16x8.shl(top, 2), bits, centre), 16);
    v128.store(to, six(v128.and(i16x8.shr_u(lanes, 8), nibble), top, bits, centre), 32);
    v128.store(to, six(i16x8.shr_u(lanes, 12), i16x8.shr_u(top, 2), bits, centre), 48);
    to += 64;
  }
}

/** Four bits and two bits above them, less the centre. */
@inline
function six(low: v128, high: v128, bits: v128, centre: v128): v128 {
  return i16x8.sub(v128.or(low, v128.and(high, bits)), centre);
}
