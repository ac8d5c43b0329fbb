import { madd } from "./madd";
import {
  lowerCodes,
  panelOf,
  panelRows,
  stepBytes,
  stripOf,
  upperCodes,
  vectorStep,
} from "./panels";
import {
  groupBytes,
  groupHeadBytes,
  groupsPerStep,
  hasMinima,
  headBytes,
  minima4,
  scales4,
} from "./quants";
import { BF16, F16, I8, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0 } from "./storages";

/**
 * Inputs `k … k + depth - 1` of the strip that holds `row`, as float32, 8 rows per input; `k` is a multiple of 32.
 * Quantised strips are widened by whole groups, up to 31 inputs beyond `depth`.
 */
export function widen(
  to: usize,
  panels: usize,
  storage: i32,
  inputs: i32,
  row: i32,
  k: i32,
  depth: i32,
): void {
  const strip = stripOf(panels, storage, inputs, row);
  if (storage == BF16) widenBf16(to, strip + <usize>k * stepBytes(BF16), depth);
  else if (storage == F16) widenF16Codes(to, strip + <usize>k * stepBytes(F16), depth);
  else if (storage == I8) {
    const first = row & (panelRows(I8) - 8);
    const scales = panelOf(panels, storage, inputs, row) + <usize>first * 4;
    widenGroups(I8, to, strip, scales, k, depth);
  } else if (storage == Q8_0) widenGroups(Q8_0, to, strip, 0, k, depth);
  else if (storage == Q4_0) widenGroups(Q4_0, to, strip, 0, k, depth);
  else if (storage == Q4_1) widenGroups(Q4_1, to, strip, 0, k, depth);
  else if (storage == Q4_K) widenGroups(Q4_K, to, strip, 0, k, depth);
  else widenGroups(Q6_K, to, strip, 0, k, depth);
}

function widenBf16(to: usize, from: usize, depth: i32): void {
  const upper = i32x4.splat(0xffff0000);
  const end = to + <usize>depth * 32;
  while (to < end) {
    const words = v128.load(from);
    v128.store(to, i32x4.shl(words, 16));
    v128.store(to, v128.and(words, upper), 16);
    from += stepBytes(BF16);
    to += 32;
  }
}

function widenF16Codes(to: usize, from: usize, depth: i32): void {
  const end = to + <usize>depth * 32;
  while (to < end) {
    const words = v128.load(from);
    v128.store(to, lowerCodes(words));
    v128.store(to, upperCodes(words), 16);
    from += stepBytes(F16);
    to += 32;
  }
}

/** `scales` are those of the strip's rows in I8. */
@inline
function widenGroups(storage: i32, to: usize, strip: usize, scales: usize, k: i32, depth: i32): void {
  const last = (k + depth + 31) >> 5;
  for (let g = k >> 5; g < last; g++) {
    const head = strip + <usize>(g / groupsPerStep(storage)) * stepBytes(storage);
    const group = head + headBytes(storage) + <usize>(g % groupsPerStep(storage)) * groupBytes(storage);
    const quants = group + groupHeadBytes(storage);
    if (storage == I8) {
      widen8(I8, to, quants, v128.load(scales), v128.load(scales, 16));
    } else if (storage == Q8_0) {
      const low = scales4(storage, head, group, 0, 0);
      widen8(Q8_0, to, quants, low, scales4(storage, head, group, 1, 0));
    } else if (storage == Q6_K) {
      const upper = quants + 8 * vectorStep(Q6_K);
      for (let part: usize = 0; part < 2; part++) {
        const low = scales4(storage, head, group, 0, part);
        const high = scales4(storage, head, group, 1, part);
        const at = part * vectorStep(Q6_K);
        widen6(to + part * 512, quants + 4 * at, upper + 2 * at, low, high);
      }
    } else {
      const low = scales4(storage, head, group, 0, 0);
      const high = scales4(storage, head, group, 1, 0);
      const eight = f32x4.splat(-8);
      const lowMinima = hasMinima(storage) ? minima4(storage, head, group, 0) : f32x4.mul(low, eight);
      const highMinima = hasMinima(storage) ? minima4(storage, head, group, 1) : f32x4.mul(high, eight);
      widen4(storage, to, quants, low, high, lowMinima, highMinima);
    }
    to += 1024;
  }
}

/** Pairs of one lane each: the even input to `to`, the odd one 32 bytes behind. */
@inline
function emit(to: usize, pairs: v128, scale: v128, minimum: v128): void {
  const even = f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(pairs, 16), 16));
  const odd = f32x4.convert_i32x4_s(i32x4.shr_s(pairs, 16));
  v128.store(to, madd(minimum, even, scale));
  v128.store(to, madd(minimum, odd, scale), 32);
}

@inline
function widen8(storage: i32, to: usize, quants: usize, low: v128, high: v128): void {
  const none = f32x4.splat(0);
  const byte = i16x8.splat(0xff);
  const centre = i16x8.splat(128);
  for (let v = 0; v < 16; v++) {
    const lanes = v128.load(quants);
    emit(to, i16x8.sub(v128.and(lanes, byte), centre), low, none);
    emit(to + 16, i16x8.shr_s(lanes, 8), high, none);
    quants += vectorStep(storage);
    to += 64;
  }
}

@inline
function widen4(
  storage: i32,
  to: usize,
  quants: usize,
  low: v128,
  high: v128,
  lowMinima: v128,
  highMinima: v128,
): void {
  const nibble = i16x8.splat(0xf);
  for (let v = 0; v < 8; v++) {
    const lanes = v128.load(quants);
    emit(to, v128.and(lanes, nibble), low, lowMinima);
    emit(to + 16, v128.and(i16x8.shr_u(lanes, 4), nibble), high, highMinima);
    emit(to + 64, v128.and(i16x8.shr_u(lanes, 8), nibble), low, lowMinima);
    emit(to + 80, i16x8.shr_u(lanes, 12), high, highMinima);
    quants += vectorStep(storage);
    to += 128;
  }
}

/** 16 inputs of Q6_K: four vectors of nibbles, two of upper bits. */
function widen6(to: usize, quants: usize, upper: usize, low: v128, high: v128): void {
  const lowMinima = f32x4.mul(low, f32x4.splat(-32));
  const highMinima = f32x4.mul(high, f32x4.splat(-32));
  const nibble = i16x8.splat(0xf);
  const bits = i16x8.splat(0x30);
  for (let v = 0; v < 4; v++) {
    const lanes = v128.load(quants + <usize>v * vectorStep(Q6_K));
    let top = v128.load(upper + <usize>(v >> 1) * vectorStep(Q6_K));
    if (v & 1) top = i16x8.shr_u(top, 8);
    const a = v128.or(v128.and(lanes, nibble), v128.and(i16x8.shl(top, 4), bits));
    const b = v128.or(v128.and(i16x8.shr_u(lanes, 4), nibble), v128.and(i16x8.shl(top, 2), bits));
    const c = v128.or(v128.and(i16x8.shr_u(lanes, 8), nibble), v128.and(top, bits));
    const d = v128.or(i16x8.shr_u(lanes, 12), v128.and(i16x8.shr_u(top, 2), bits));
    emit(to, a, low, lowMinima);
    emit(to + 16, b, high, highMinima);
    emit(to + 64, c, low, lowMinima);
    emit(to + 80, d, high, highMinima);
    to += 128;
  }
}
