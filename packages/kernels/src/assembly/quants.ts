import { widenF16 } from "./panels";
import { I8, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0 } from "./storages";

/**
 * Panels of quantised weights. Inputs come in groups of 32; in a group, 16-bit lanes hold pairs: lane `2r + j` belongs to
 * row `r` (or `r + 4`) and an input of parity `j`, so that one multiply-add of pairs serves four rows.
 *
 * - 8 bits: per pair of inputs 16 bytes; the lower byte of lane `2r + j` is row `r` plus 128, the upper one row `r + 4`,
 *   signed: a mask and a shift make two vectors of them.
 * - 4 bits: per two pairs A and B 16 bytes; the nibbles of lane `2r + j` are, from the lowest: (row r, A), (row r + 4, A),
 *   (row r, B), (row r + 4, B).
 * - 6 bits: as 4 bits, then per two such vectors 16 bytes with the upper two bits: the eight fields of a lane are those
 *   of the four nibbles of the first vector, then of the second.
 *
 * Scales stay what they are in GGUF files (`block_q4_0`, `block_q4_K`, … of ggml), each times 8 rows:
 *
 *     I8    8 float32 row scales                   then per 32 inputs: 256 bytes
 *     Q8_0  per 32: 8 scales (f16), 256 bytes
 *     Q4_0  per 32: 8 scales (f16), 128 bytes                       w = d (q - 8)
 *     Q4_1  per 32: 8 scales, 8 minima (f16), 128 bytes             w = d q + m
 *     Q4_K  per 256: 8 scales, 8 scales of minima (f16); per 32: 8 scales, 8 minima (bytes), 128 bytes
 *                                                                   w = d s q - e m
 *     Q6_K  per 256: 8 scales (f16); per 32: 8 scales of the first 16 inputs, 8 of the others (signed bytes),
 *           128 bytes, 64 bytes                                     w = d s (q - 32)
 */

/** Groups of 32 that share a header. */
@inline
export function groupsPerSuper(storage: i32): i32 {
  return storage == Q4_K || storage == Q6_K ? 8 : 1;
}

/** Bytes before the groups. */
@inline
export function headBytes(storage: i32): usize {
  if (storage == I8) return 0;
  return storage == Q4_1 || storage == Q4_K ? 32 : 16;
}

/** Bytes of one group. */
@inline
export function groupBytes(storage: i32): usize {
  if (storage == I8 || storage == Q8_0) return 256;
  if (storage == Q4_0 || storage == Q4_1) return 128;
  return storage == Q4_K ? 144 : 208;
}

/** Bytes of a header and its groups. */
@inline
export function superBytes(storage: i32): usize {
  return headBytes(storage) + <usize>groupsPerSuper(storage) * groupBytes(storage);
}

/** Four binary16 numbers as float32. */
@inline
export function halves4(at: usize): v128 {
  const words = i32x4.shl(v128.load_ext<u16>(at), 16);
  const bits = v128.and(i32x4.shr_s(words, 3), i32x4.splat(0x8fffe000));
  return f32x4.mul(bits, f32x4.splat(reinterpret<f32>(0x77800000)));
}

/** Four unsigned bytes as float32. */
@inline
export function bytes4u(at: usize): v128 {
  const shorts = i16x8.extend_low_i8x16_u(v128.load32_zero(at));
  return f32x4.convert_i32x4_u(i32x4.extend_low_i16x8_u(shorts));
}

/** Four signed bytes as float32. */
@inline
export function bytes4s(at: usize): v128 {
  const shorts = i16x8.extend_low_i8x16_s(v128.load32_zero(at));
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(shorts));
}

/** Scales of four rows: `half` 0 for rows 0–3, 1 for rows 4–7; `part` 1 for the second 16 inputs of a Q6_K group. */
@inline
export function scales4(storage: i32, head: usize, group: usize, half: usize, part: usize): v128 {
  const scales = halves4(head + half * 8);
  if (storage == Q4_K) return f32x4.mul(scales, bytes4u(group + half * 4));
  if (storage == Q6_K) return f32x4.mul(scales, bytes4s(group + part * 8 + half * 4));
  return scales;
}

/** What is added to `scale * q` of four rows: `m` of Q4_1, `-e m` of Q4_K. */
@inline
export function minima4(storage: i32, head: usize, group: usize, half: usize): v128 {
  const minima = halves4(head + 16 + half * 8);
  if (storage == Q4_1) return minima;
  return f32x4.neg(f32x4.mul(minima, bytes4u(group + 8 + half * 4)));
}

/** Whether weights have minima. */
@inline
export function hasMinima(storage: i32): bool {
  return storage == Q4_1 || storage == Q4_K;
}

// Packing ------------------------------------------------------------------------------------------------------------

/** Writes one row in its file format at `source` to lane `row & 7` of `panel`. Returns the end of the row. */
export function packQuantised(panel: usize, storage: i32, source: usize, row: i32, inputs: i32): usize {
  const lane = <usize>(row & 7);
  if (storage == I8) {
    store<u32>(panel + lane * 4, load<u32>(source));
    for (let k = 0; k < inputs; k++) {
      putByte(panel + 32 + <usize>(k >> 5) * 256, lane, k & 31, load<u8>(source + 4 + <usize>k));
    }
    return source + 4 + <usize>inputs;
  }
  const supers = inputs / (32 * groupsPerSuper(storage));
  for (let s = 0; s < supers; s++) {
    if (storage == Q8_0) source = packQ8(panel, source, lane);
    else if (storage == Q4_0 || storage == Q4_1) source = packQ4(panel, storage, source, lane);
    else if (storage == Q4_K) source = packQ4K(panel, source, lane);
    else source = packQ6K(panel, source, lane);
    panel += superBytes(storage);
  }
  return source;
}

function putByte(quants: usize, lane: usize, k: i32, value: u8): void {
  const at = quants + <usize>(k >> 1) * 16 + (lane & 3) * 4 + (k & 1) * 2 + (lane >> 2);
  store<u8>(at, lane < 4 ? value ^ 0x80 : value);
}

function putNibble(quants: usize, lane: usize, k: i32, value: u32): void {
  const pair = k >> 1;
  const at = quants + <usize>(pair >> 1) * 16 + (lane & 3) * 4 + (k & 1) * 2 + (pair & 1);
  const shift = <u32>(lane >> 2) * 4;
  store<u8>(at, <u8>((<u32>load<u8>(at) & ~(0xf << shift)) | ((value & 0xf) << shift)));
}

function putUpperBits(quants: usize, lane: usize, k: i32, value: u32): void {
  const pair = k >> 1;
  const at = quants + <usize>(pair >> 2) * 16 + (lane & 3) * 4 + (k & 1) * 2 + ((pair >> 1) & 1);
  const shift = <u32>((pair & 1) * 4 + <i32>(lane >> 2) * 2);
  store<u8>(at, <u8>((<u32>load<u8>(at) & ~(3 << shift)) | ((value & 3) << shift)));
}

function packQ8(panel: usize, source: usize, lane: usize): usize {
  store<u16>(panel + lane * 2, load<u16>(source));
  for (let k = 0; k < 32; k++) putByte(panel + 16, lane, k, load<u8>(source + 2 + <usize>k));
  return source + 34;
}

function packQ4(panel: usize, storage: i32, source: usize, lane: usize): usize {
  store<u16>(panel + lane * 2, load<u16>(source));
  source += 2;
  if (storage == Q4_1) {
    store<u16>(panel + 16 + lane * 2, load<u16>(source));
    source += 2;
  }
  const quants = panel + headBytes(storage);
  for (let i = 0; i < 16; i++) {
    const pair = <u32>load<u8>(source + <usize>i);
    putNibble(quants, lane, i, pair & 0xf);
    putNibble(quants, lane, i + 16, pair >> 4);
  }
  return source + 16;
}

function packQ4K(panel: usize, source: usize, lane: usize): usize {
  store<u16>(panel + lane * 2, load<u16>(source));
  store<u16>(panel + 16 + lane * 2, load<u16>(source + 2));
  const packed = source + 4;
  for (let g = 0; g < 8; g++) {
    const group = panel + 32 + <usize>g * 144;
    store<u8>(group + lane, sixBits(packed, g, 0));
    store<u8>(group + 8 + lane, sixBits(packed, g, 4));
    const nibbles = source + 16 + <usize>(g >> 1) * 32;
    for (let k = 0; k < 32; k++) {
      putNibble(group + 16, lane, k, <u32>load<u8>(nibbles + <usize>k) >> ((g & 1) * 4));
    }
  }
  return source + 144;
}

/** Scale (`first` 0) or minimum (`first` 4) of group `g`: the upper two bits of the last four are in the first four. */
function sixBits(packed: usize, g: i32, first: i32): u8 {
  if (g < 4) return load<u8>(packed + <usize>(first + g)) & 0x3f;
  const low = (<u32>load<u8>(packed + <usize>(4 + g)) >> first) & 0xf;
  return <u8>(low | ((<u32>load<u8>(packed + <usize>(first + g - 4)) >> 6) << 4));
}

function packQ6K(panel: usize, source: usize, lane: usize): usize {
  store<u16>(panel + lane * 2, load<u16>(source + 208));
  for (let g = 0; g < 8; g++) {
    const group = panel + 16 + <usize>g * 208;
    store<u8>(group + lane, load<u8>(source + 192 + <usize>g * 2));
    store<u8>(group + 8 + lane, load<u8>(source + 193 + <usize>g * 2));
    // A half of 128 inputs is four groups: two share bytes of nibbles, four share bytes of upper bits.
    const low = source + <usize>(g >> 2) * 64 + (g & 1) * 32;
    const high = source + 128 + <usize>(g >> 2) * 32;
    for (let k = 0; k < 32; k++) {
      putNibble(group + 16, lane, k, <u32>load<u8>(low + <usize>k) >> (((g >> 1) & 1) * 4));
      putUpperBits(group + 144, lane, k, <u32>load<u8>(high + <usize>k) >> ((g & 3) * 2));
    }
  }
  return source + 210;
}
