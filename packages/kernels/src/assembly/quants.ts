import { vectorStep, widenF16 } from "./panels";
import { I8, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0 } from "./storages";

/**
 * Strips of quantised weights, as 16-byte vectors (see `panels.ts`). Inputs come in groups of 32; in a group, 16-bit lanes
 * hold pairs: lane `2r + j` belongs to row `r` (or `r + 4`) and an input of parity `j`, so that one multiply-add of pairs
 * serves four rows.
 *
 * - 8 bits: a vector per pair of inputs; the lower byte of lane `2r + j` is row `r` plus 128, the upper one row `r + 4`,
 *   signed: a mask and a shift make two vectors of them.
 * - 4 bits: a vector per two pairs A and B; the nibbles of lane `2r + j` are, from the lowest: (row r, A), (row r + 4, A),
 *   (row r, B), (row r + 4, B).
 * - 6 bits: as 4 bits, then per two such vectors one with the upper two bits: the eight fields of a lane are those of the
 *   four nibbles of the first vector, then of the second.
 *
 * Scales stay what they are in GGUF files (`block_q4_0`, `block_q4_K`, … of ggml), each times 8 rows. A step is:
 *
 *     I8    per 32 inputs: 16 vectors              (one float32 scale per row lies before all steps)
 *     Q8_0  per 32: 8 scales (f16), 16 vectors
 *     Q4_0  per 32: 8 scales (f16), 8 vectors                       w = d (q - 8)
 *     Q4_1  per 32: 8 scales, 8 minima (f16), 8 vectors             w = d q + m
 *     Q4_K  per 256: 8 scales, 8 scales of minima (f16); per 32: 8 scales and 8 minima (bytes) in one vector, 8 vectors
 *                                                                   w = d s q - e m
 *     Q6_K  per 256: 8 scales (f16); per 32: 8 scales of the first 16 inputs and 8 of the others (signed bytes) in one
 *           vector, 8 vectors, 4 vectors of upper bits              w = d s (q - 32)
 */

/** Groups of 32 in a step, which share a header. */
@inline
export function groupsPerStep(storage: i32): i32 {
  return storage == Q4_K || storage == Q6_K ? 8 : 1;
}

/** Inputs of a step of a panel. */
@inline
export function stepInputs(storage: i32): i32 {
  return 32 * groupsPerStep(storage);
}

/** Vectors of a strip before the groups. */
@inline
export function headVectors(storage: i32): usize {
  if (storage == I8) return 0;
  return storage == Q4_1 || storage == Q4_K ? 2 : 1;
}

/** Vectors of a group before its quants. */
@inline
export function groupHeadVectors(storage: i32): usize {
  return storage == Q4_K || storage == Q6_K ? 1 : 0;
}

/** Vectors of a group. */
@inline
export function groupVectors(storage: i32): usize {
  if (storage == I8 || storage == Q8_0) return 16;
  if (storage == Q4_0 || storage == Q4_1) return 8;
  return storage == Q4_K ? 9 : 13;
}

/** Vectors of a strip in a step. */
@inline
export function stepVectors(storage: i32): usize {
  return headVectors(storage) + <usize>groupsPerStep(storage) * groupVectors(storage);
}

/** From the first vector of a strip in a step to that of its first group. */
@inline
export function headBytes(storage: i32): usize {
  return headVectors(storage) * vectorStep(storage);
}

/** From one group of a strip to the next. */
@inline
export function groupBytes(storage: i32): usize {
  return groupVectors(storage) * vectorStep(storage);
}

/** From the first vector of a group to that of its quants. */
@inline
export function groupHeadBytes(storage: i32): usize {
  return groupHeadVectors(storage) * vectorStep(storage);
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
  const minima = halves4(head + vectorStep(storage) + half * 8);
  if (storage == Q4_1) return minima;
  return f32x4.neg(f32x4.mul(minima, bytes4u(group + 8 + half * 4)));
}

/** Whether weights have minima. */
@inline
export function hasMinima(storage: i32): bool {
  return storage == Q4_1 || storage == Q4_K;
}

// Packing ------------------------------------------------------------------------------------------------------------

/**
 * Writes one row in its file format at `source` to lane `row & 7` of a strip. `scales` is where an I8 row's scale goes.
 * Returns the end of the row.
 */
export function packQuantised(
  strip: usize,
  scales: usize,
  storage: i32,
  source: usize,
  row: i32,
  inputs: i32,
): usize {
  const lane = <usize>(row & 7);
  const step = stepVectors(storage) * vectorStep(storage);
  if (storage == I8) {
    store<u32>(scales, load<u32>(source));
    for (let k = 0; k < inputs; k++) {
      putByte(strip + <usize>(k >> 5) * step, I8, lane, k & 31, load<u8>(source + 4 + <usize>k));
    }
    return source + 4 + <usize>inputs;
  }
  for (let k = 0; k < inputs; k += stepInputs(storage)) {
    if (storage == Q8_0) source = packQ8(strip, source, lane);
    else if (storage == Q4_0 || storage == Q4_1) source = packQ4(strip, storage, source, lane);
    else if (storage == Q4_K) source = packQ4K(strip, source, lane);
    else source = packQ6K(strip, source, lane);
    strip += step;
  }
  return source;
}

function putByte(quants: usize, storage: i32, lane: usize, k: i32, value: u8): void {
  const vector = quants + <usize>(k >> 1) * vectorStep(storage);
  const at = vector + (lane & 3) * 4 + (k & 1) * 2 + (lane >> 2);
  store<u8>(at, lane < 4 ? value ^ 0x80 : value);
}

function putNibble(quants: usize, storage: i32, lane: usize, k: i32, value: u32): void {
  const pair = k >> 1;
  const vector = quants + <usize>(pair >> 1) * vectorStep(storage);
  const at = vector + (lane & 3) * 4 + (k & 1) * 2 + (pair & 1);
  const shift = <u32>(lane >> 2) * 4;
  store<u8>(at, <u8>((<u32>load<u8>(at) & ~(0xf << shift)) | ((value & 0xf) << shift)));
}

function putUpperBits(quants: usize, storage: i32, lane: usize, k: i32, value: u32): void {
  const pair = k >> 1;
  const vector = quants + <usize>(pair >> 2) * vectorStep(storage);
  const at = vector + (lane & 3) * 4 + (k & 1) * 2 + ((pair >> 1) & 1);
  const shift = <u32>((pair & 1) * 4 + <i32>(lane >> 2) * 2);
  store<u8>(at, <u8>((<u32>load<u8>(at) & ~(3 << shift)) | ((value & 3) << shift)));
}

function packQ8(strip: usize, source: usize, lane: usize): usize {
  store<u16>(strip + lane * 2, load<u16>(source));
  const quants = strip + headBytes(Q8_0);
  for (let k = 0; k < 32; k++) putByte(quants, Q8_0, lane, k, load<u8>(source + 2 + <usize>k));
  return source + 34;
}

function packQ4(strip: usize, storage: i32, source: usize, lane: usize): usize {
  store<u16>(strip + lane * 2, load<u16>(source));
  source += 2;
  if (storage == Q4_1) {
    store<u16>(strip + vectorStep(storage) + lane * 2, load<u16>(source));
    source += 2;
  }
  const quants = strip + headBytes(storage);
  for (let i = 0; i < 16; i++) {
    const pair = <u32>load<u8>(source + <usize>i);
    putNibble(quants, storage, lane, i, pair & 0xf);
    putNibble(quants, storage, lane, i + 16, pair >> 4);
  }
  return source + 16;
}

function packQ4K(strip: usize, source: usize, lane: usize): usize {
  store<u16>(strip + lane * 2, load<u16>(source));
  store<u16>(strip + vectorStep(Q4_K) + lane * 2, load<u16>(source + 2));
  const packed = source + 4;
  for (let g = 0; g < 8; g++) {
    const group = strip + headBytes(Q4_K) + <usize>g * groupBytes(Q4_K);
    store<u8>(group + lane, sixBits(packed, g, 0));
    store<u8>(group + 8 + lane, sixBits(packed, g, 4));
    const quants = group + groupHeadBytes(Q4_K);
    const nibbles = source + 16 + <usize>(g >> 1) * 32;
    for (let k = 0; k < 32; k++) {
      putNibble(quants, Q4_K, lane, k, <u32>load<u8>(nibbles + <usize>k) >> ((g & 1) * 4));
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

function packQ6K(strip: usize, source: usize, lane: usize): usize {
  store<u16>(strip + lane * 2, load<u16>(source + 208));
  for (let g = 0; g < 8; g++) {
    const group = strip + headBytes(Q6_K) + <usize>g * groupBytes(Q6_K);
    store<u8>(group + lane, load<u8>(source + 192 + <usize>g * 2));
    store<u8>(group + 8 + lane, load<u8>(source + 193 + <usize>g * 2));
    const quants = group + groupHeadBytes(Q6_K);
    const upper = quants + 8 * vectorStep(Q6_K);
    // A half of 128 inputs is four groups: two share bytes of nibbles, four share bytes of upper bits.
    const low = source + <usize>(g >> 2) * 64 + (g & 1) * 32;
    const high = source + 128 + <usize>(g >> 2) * 32;
    for (let k = 0; k < 32; k++) {
      putNibble(quants, Q6_K, lane, k, <u32>load<u8>(low + <usize>k) >> (((g >> 1) & 1) * 4));
      putUpperBits(upper, Q6_K, lane, k, <u32>load<u8>(high + <usize>k) >> ((g & 3) * 2));
    }
  }
  return source + 210;
}
