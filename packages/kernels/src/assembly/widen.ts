import { madd } from "./madd";
import { lowerCodes, upperCodes } from "./panels";
import {
  groupBytes,
  groupsPerSuper,
  hasMinima,
  headBytes,
  minima4,
  scales4,
  superBytes,
} from "./quants";
import { BF16, F16, I8, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0 } from "./storages";

/**
 * Inputs `k … k + depth - 1` of a panel as float32, 8 rows per input; `k` is a multiple of 32. Quantised panels are
 * widened by whole groups, up to 31 inputs beyond `depth`.
 */
export function widen(to: usize, panel: usize, storage: i32, k: i32, depth: i32): void {
  if (storage == BF16) widenBf16(to, panel + <usize>k * 16, depth);
  else if (storage == F16) widenF16Codes(to, panel + <usize>k * 16, depth);
  else if (storage == I8) widenGroups(I8, to, panel, k, depth);
  else if (storage == Q8_0) widenGroups(Q8_0, to, panel, k, depth);
  else if (storage == Q4_0) widenGroups(Q4_0, to, panel, k, depth);
  else if (storage == Q4_1) widenGroups(Q4_1, to, panel, k, depth);
  else if (storage == Q4_K) widenGroups(Q4_K, to, panel, k, depth);
  else widenGroups(Q6_K, to, panel, k, depth);
}

function widenBf16(to: usize, from: usize, depth: i32): void {
  const upper = i32x4.splat(0xffff0000);
  const end = from + <usize>depth * 16;
  while (from < end) {
    const words = v128.load(from);
    v128.store(to, i32x4.shl(words, 16));
    v128.store(to, v128.and(words, upper), 16);
    from += 16;
    to += 32;
  }
}

function widenF16Codes(to: usize, from: usize, depth: i32): void {
  const end = from + <usize>depth * 16;
  while (from < end) {
    const words = v128.load(from);
    v128.store(to, lowerCodes(words));
    v128.store(to, upperCodes(words), 16);
    from += 16;
    to += 32;
  }
}

@inline
function widenGroups(storage: i32, to: usize, panel: usize, k: i32, depth: i32): void {
  const last = (k + depth + 31) >> 5;
  for (let g = k >> 5; g < last; g++) {
    if (storage == I8) {
      widen8(to, panel + 32 + <usize>g * 256, v128.load(panel), v128.load(panel, 16));
    } else {
      const head = panel + <usize>(g / groupsPerSuper(storage)) * superBytes(storage);
      const group = head + headBytes(storage) + <usize>(g % groupsPerSuper(storage)) * groupBytes(storage);
      if (storage == Q8_0) {
        widen8(to, group, scales4(storage, head, group, 0, 0), scales4(storage, head, group, 1, 0));
      } else if (storage == Q6_K) {
        for (let part: usize = 0; part < 2; part++) {
          const low = scales4(storage, head, group, 0, part);
          const high = scales4(storage, head, group, 1, part);
          widen6(to + part * 512, group + 16 + part * 64, group + 144 + part * 32, low, high);
        }
      } else {
        const low = scales4(storage, head, group, 0, 0);
        const high = scales4(storage, head, group, 1, 0);
        const eight = f32x4.splat(-8);
        const lowMinima = hasMinima(storage) ? minima4(storage, head, group, 0) : f32x4.mul(low, eight);
        const highMinima = hasMinima(storage) ? minima4(storage, head, group, 1) : f32x4.mul(high, eight);
        widen4(to, storage == Q4_K ? group + 16 : group, low, high, lowMinima, highMinima);
      }
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

function widen8(to: usize, quants: usize, low: v128, high: v128): void {
  const none = f32x4.splat(0);
  const byte = i16x8.splat(0xff);
  const centre = i16x8.splat(128);
  for (const end = quants + 256; quants < end; quants += 16) {
    const lanes = v128.load(quants);
    emit(to, i16x8.sub(v128.and(lanes, byte), centre), low, none);
    emit(to + 16, i16x8.shr_s(lanes, 8), high, none);
    to += 64;
  }
}

function widen4(to: usize, quants: usize, low: v128, high: v128, lowMinima: v128, highMinima: v128): void {
  const nibble = i16x8.splat(0xf);
  for (const end = quants + 128; quants < end; quants += 16) {
    const lanes = v128.load(quants);
    emit(to, v128.and(lanes, nibble), low, lowMinima);
    emit(to + 16, v128.and(i16x8.shr_u(lanes, 4), nibble), high, highMinima);
    emit(to + 64, v128.and(i16x8.shr_u(lanes, 8), nibble), low, lowMinima);
    emit(to + 80, i16x8.shr_u(lanes, 12), high, highMinima);
    to += 128;
  }
}

/** 16 inputs: four vectors of nibbles, two of upper bits. */
function widen6(to: usize, quants: usize, upper: usize, low: v128, high: v128): void {
  const lowMinima = f32x4.mul(low, f32x4.splat(-32));
  const highMinima = f32x4.mul(high, f32x4.splat(-32));
  const nibble = i16x8.splat(0xf);
  const bits = i16x8.splat(0x30);
  for (let v = 0; v < 4; v++) {
    const lanes = v128.load(quants + <usize>v * 16);
    let top = v128.load(upper + <usize>(v >> 1) * 16);
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
