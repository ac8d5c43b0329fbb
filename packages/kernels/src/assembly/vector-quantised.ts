import { madd } from "./madd";
import { scalesBytes, stepBytes, vectorStep } from "./panels";
import {
  groupBytes,
  groupHeadBytes,
  groupsPerStep,
  hasMinima,
  headBytes,
  minima4,
  scales4,
} from "./quants";
import { I8, Q4_0, Q6_K, Q8_0 } from "./storages";
import { storeRow } from "./tile";
import { PREPARED_BYTES } from "./prepare";

/** 16 outputs from the two strips of a panel of Q6_K. */
export function quantised6(y: usize, x: usize, panel: usize, steps: i32, add: bool): void {
  const bits = i16x8.splat(0x30);
  const nibble = i16x8.splat(0xf);
  let f0 = f32x4.splat(0);
  let f1 = f0;
  let f2 = f0;
  let f3 = f0;
  for (let s = steps; s > 0; s--) {
    let group = panel + headBytes(Q6_K);
    for (let g = groupsPerStep(Q6_K); g > 0; g--) {
      const xScale = v128.load32_splat(x, 64);
      for (let part: usize = 0; part < 2; part++) {
        let i0 = lowStart(Q6_K, x, part);
        let i1 = i0;
        let i2 = i0;
        let i3 = i0;
        // The offset of part 1 is four vectors of nibbles, and two of upper bits.
        let w = group + groupHeadBytes(Q6_K) + part * 128;
        let upper = group + groupHeadBytes(Q6_K) + 8 * vectorStep(Q6_K) + part * 64;
        let pairs = x + part * 32;
        for (let v = 0; v < 4; v++) {
          const xA = v128.load32_splat(pairs);
          const xB = v128.load32_splat(pairs, 4);
          const shift = (v & 1) * 8;
          let lanes = v128.load(w);
          let top = i16x8.shr_u(v128.load(upper), shift);
          i0 = dotAdd(i0, six(v128.and(lanes, nibble), i16x8.shl(top, 4), bits), xA);
          i1 = dotAdd(i1, six(v128.and(i16x8.shr_u(lanes, 4), nibble), i16x8.shl(top, 2), bits), xA);
          i0 = dotAdd(i0, six(v128.and(i16x8.shr_u(lanes, 8), nibble), top, bits), xB);
          i1 = dotAdd(i1, six(i16x8.shr_u(lanes, 12), i16x8.shr_u(top, 2), bits), xB);
          lanes = v128.load(w, 16);
          top = i16x8.shr_u(v128.load(upper, 16), shift);
          i2 = dotAdd(i2, six(v128.and(lanes, nibble), i16x8.shl(top, 4), bits), xA);
          i3 = dotAdd(i3, six(v128.and(i16x8.shr_u(lanes, 4), nibble), i16x8.shl(top, 2), bits), xA);
          i2 = dotAdd(i2, six(v128.and(i16x8.shr_u(lanes, 8), nibble), top, bits), xB);
          i3 = dotAdd(i3, six(i16x8.shr_u(lanes, 12), i16x8.shr_u(top, 2), bits), xB);
          w += vectorStep(Q6_K);
          upper += (v & 1) * vectorStep(Q6_K);
          pairs += 8;
        }
        f0 = madd(f0, f32x4.convert_i32x4_s(i0), scaled(Q6_K, panel, group, 0, part, xScale));
        f1 = madd(f1, f32x4.convert_i32x4_s(i1), scaled(Q6_K, panel, group, 1, part, xScale));
        f2 = madd(f2, f32x4.convert_i32x4_s(i2), scaled(Q6_K, panel + 16, group + 16, 0, part, xScale));
        f3 = madd(f3, f32x4.convert_i32x4_s(i3), scaled(Q6_K, panel + 16, group + 16, 1, part, xScale));
      }
      x += PREPARED_BYTES;
      group += groupBytes(Q6_K);
    }
    panel += stepBytes(Q6_K);
  }
  storeRow(y, f0, f1, add);
  storeRow(y + 32, f2, f3, add);
}

/** 32 outputs from the four strips of a panel of 8 or 4 bits. To be inlined with a constant `storage`. */
@inline
export function quantised4(
  storage: i32,
  y: usize,
  x: usize,
  panel: usize,
  steps: i32,
  add: bool,
): void {
  const nibble = i16x8.splat(0xf);
  let head = panel + scalesBytes(storage);
  let f0 = f32x4.splat(0);
  let f1 = f0;
  let f2 = f0;
  let f3 = f0;
  let f4 = f0;
  let f5 = f0;
  let f6 = f0;
  let f7 = f0;
  for (let s = steps; s > 0; s--) {
    let group = head + headBytes(storage);
    for (let g = groupsPerStep(storage); g > 0; g--) {
      let i0 = lowStart(storage, x, 0);
      let i1 = highStart(storage, i0);
      let i2 = i0;
      let i3 = i1;
      let i4 = i0;
      let i5 = i1;
      let i6 = i0;
      let i7 = i1;
      let w = group + groupHeadBytes(storage);
      if (storage == I8 || storage == Q8_0) {
        const byte = i16x8.splat(0xff);
        let pairs = x;
        // Two vectors with an exit after each, as in `tile4x8`.
        for (let left = 16; ; left -= 2) {
          let pair = v128.load32_splat(pairs);
          let lanes = v128.load(w);
          i0 = dotAdd(i0, v128.and(lanes, byte), pair);
          i1 = dotAdd(i1, i16x8.shr_s(lanes, 8), pair);
          lanes = v128.load(w, 16);
          i2 = dotAdd(i2, v128.and(lanes, byte), pair);
          i3 = dotAdd(i3, i16x8.shr_s(lanes, 8), pair);
          lanes = v128.load(w, 32);
          i4 = dotAdd(i4, v128.and(lanes, byte), pair);
          i5 = dotAdd(i5, i16x8.shr_s(lanes, 8), pair);
          lanes = v128.load(w, 48);
          i6 = dotAdd(i6, v128.and(lanes, byte), pair);
          i7 = dotAdd(i7, i16x8.shr_s(lanes, 8), pair);
          if (left == 1) break;
          pairs += 4;
          pair = v128.load32_splat(pairs);
          lanes = v128.load(w, 64);
          i0 = dotAdd(i0, v128.and(lanes, byte), pair);
          i1 = dotAdd(i1, i16x8.shr_s(lanes, 8), pair);
          lanes = v128.load(w, 80);
          i2 = dotAdd(i2, v128.and(lanes, byte), pair);
          i3 = dotAdd(i3, i16x8.shr_s(lanes, 8), pair);
          lanes = v128.load(w, 96);
          i4 = dotAdd(i4, v128.and(lanes, byte), pair);
          i5 = dotAdd(i5, i16x8.shr_s(lanes, 8), pair);
          lanes = v128.load(w, 112);
          i6 = dotAdd(i6, v128.and(lanes, byte), pair);
          i7 = dotAdd(i7, i16x8.shr_s(lanes, 8), pair);
          if (left == 2) break;
          pairs += 4;
          w += 128;
        }
      } else {
        for (let v: usize = 0; v < 64; v += 8) {
          const pairA = v128.load32_splat(x + v);
          const pairB = v128.load32_splat(x + v, 4);
          let lanes = v128.load(w);
          i0 = dotAdd(i0, v128.and(lanes, nibble), pairA);
          i1 = dotAdd(i1, v128.and(i16x8.shr_u(lanes, 4), nibble), pairA);
          i0 = dotAdd(i0, v128.and(i16x8.shr_u(lanes, 8), nibble), pairB);
          i1 = dotAdd(i1, i16x8.shr_u(lanes, 12), pairB);
          lanes = v128.load(w, 16);
          i2 = dotAdd(i2, v128.and(lanes, nibble), pairA);
          i3 = dotAdd(i3, v128.and(i16x8.shr_u(lanes, 4), nibble), pairA);
          i2 = dotAdd(i2, v128.and(i16x8.shr_u(lanes, 8), nibble), pairB);
          i3 = dotAdd(i3, i16x8.shr_u(lanes, 12), pairB);
          lanes = v128.load(w, 32);
          i4 = dotAdd(i4, v128.and(lanes, nibble), pairA);
          i5 = dotAdd(i5, v128.and(i16x8.shr_u(lanes, 4), nibble), pairA);
          i4 = dotAdd(i4, v128.and(i16x8.shr_u(lanes, 8), nibble), pairB);
          i5 = dotAdd(i5, i16x8.shr_u(lanes, 12), pairB);
          lanes = v128.load(w, 48);
          i6 = dotAdd(i6, v128.and(lanes, nibble), pairA);
          i7 = dotAdd(i7, v128.and(i16x8.shr_u(lanes, 4), nibble), pairA);
          i6 = dotAdd(i6, v128.and(i16x8.shr_u(lanes, 8), nibble), pairB);
          i7 = dotAdd(i7, i16x8.shr_u(lanes, 12), pairB);
          w += 64;
        }
      }
      const xScale = v128.load32_splat(x, 64);
      const sum = f32x4.mul(xScale, f32x4.splat(<f32>(load<i32>(x, 68) + load<i32>(x, 72))));
      let h = head;
      let q = group;
      f0 = madd(f0, f32x4.convert_i32x4_s(i0), scaled(storage, h, q, 0, 0, xScale));
      f1 = madd(f1, f32x4.convert_i32x4_s(i1), scaled(storage, h, q, 1, 0, xScale));
      if (hasMinima(storage)) {
        f0 = madd(f0, minima4(storage, h, q, 0), sum);
        f1 = madd(f1, minima4(storage, h, q, 1), sum);
      }
      h += 16;
      q += 16;
      f2 = madd(f2, f32x4.convert_i32x4_s(i2), scaled(storage, h, q, 0, 0, xScale));
      f3 = madd(f3, f32x4.convert_i32x4_s(i3), scaled(storage, h, q, 1, 0, xScale));
      if (hasMinima(storage)) {
        f2 = madd(f2, minima4(storage, h, q, 0), sum);
        f3 = madd(f3, minima4(storage, h, q, 1), sum);
      }
      h += 16;
      q += 16;
      f4 = madd(f4, f32x4.convert_i32x4_s(i4), scaled(storage, h, q, 0, 0, xScale));
      f5 = madd(f5, f32x4.convert_i32x4_s(i5), scaled(storage, h, q, 1, 0, xScale));
      if (hasMinima(storage)) {
        f4 = madd(f4, minima4(storage, h, q, 0), sum);
        f5 = madd(f5, minima4(storage, h, q, 1), sum);
      }
      h += 16;
      q += 16;
      f6 = madd(f6, f32x4.convert_i32x4_s(i6), scaled(storage, h, q, 0, 0, xScale));
      f7 = madd(f7, f32x4.convert_i32x4_s(i7), scaled(storage, h, q, 1, 0, xScale));
      if (hasMinima(storage)) {
        f6 = madd(f6, minima4(storage, h, q, 0), sum);
        f7 = madd(f7, minima4(storage, h, q, 1), sum);
      }
      x += PREPARED_BYTES;
      group += groupBytes(storage);
    }
    head += stepBytes(storage);
  }
  storeScaled(storage, y, panel, f0, f1, add);
  storeScaled(storage, y + 32, panel + 32, f2, f3, add);
  storeScaled(storage, y + 64, panel + 64, f4, f5, add);
  storeScaled(storage, y + 96, panel + 96, f6, f7, add);
}

/** What the sums of rows 0–3 begin with: the centre of unsigned quants, times the sum of the inputs. */
@inline
function lowStart(storage: i32, x: usize, part: usize): v128 {
  if (storage == Q6_K) return i32x4.splat(-32 * load<i32>(x + part * 4, 68));
  const centre = storage == Q4_0 ? -8 : storage == I8 || storage == Q8_0 ? -128 : 0;
  return i32x4.splat(centre && centre * (load<i32>(x, 68) + load<i32>(x, 72)));
}

/** The same for rows 4–7, whose bytes are signed. */
@inline
function highStart(storage: i32, low: v128): v128 {
  return storage == I8 || storage == Q8_0 ? i32x4.splat(0) : low;
}

@inline
function dotAdd(sum: v128, a: v128, b: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(a, b));
}

@inline
function storeScaled(storage: i32, y: usize, scales: usize, low: v128, high: v128, add: bool): void {
  if (storage == I8) {
    low = f32x4.mul(low, v128.load(scales));
    high = f32x4.mul(high, v128.load(scales, 16));
  }
  storeRow(y, low, high, add);
}

/** Four bits and two bits above them. */
@inline
function six(low: v128, high: v128, bits: v128): v128 {
  return v128.or(low, v128.and(high, bits));
}

@inline
function scaled(storage: i32, head: usize, group: usize, half: usize, part: usize, xScale: v128): v128 {
  if (storage == I8) return xScale;
  return f32x4.mul(scales4(storage, head, group, half, part), xScale);
}
