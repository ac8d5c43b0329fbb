import { BF16, F16, F32, I8, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0 } from "./storages";

/**
 * Weights lie in panels of 8 output rows, so that the matrix product reads them front to back: panel `p` holds rows
 * `8p … 8p+7` for all inputs. The last panel is filled up with zeros.
 *
 * - `F32`: per input `k` the numbers `W[8p … 8p+7, k]`: 32 bytes.
 * - `BF16`: 16 bytes per `k`, rows in the order 0 4 1 5 2 6 3 7: as four 32-bit words, rows 0–3 are the lower halves and
 *   rows 4–7 the upper ones, so `word << 16` and `word & 0xffff0000` are float32 numbers in order.
 * - `F16`: the same order, each number as in `codeOf`.
 * - Quantised: see `quants.ts`.
 */
export function panelBytes(storage: i32, inputs: i32): usize {
  if (storage == F32) return <usize>inputs * 32;
  if (storage == BF16 || storage == F16) return <usize>inputs * 16;
  if (storage == I8) return 32 + <usize>((inputs + 31) >> 5) * 256;
  if (storage == Q8_0) return <usize>(inputs >> 5) * 272;
  if (storage == Q4_0) return <usize>(inputs >> 5) * 144;
  if (storage == Q4_1) return <usize>(inputs >> 5) * 160;
  if (storage == Q4_K) return <usize>(inputs >> 8) * 1184;
  if (storage == Q6_K) return <usize>(inputs >> 8) * 1680;
  return 0;
}

/** Address of `W[row, k]` in panels of F32, BF16 or F16. */
@inline
export function element(panels: usize, storage: i32, inputs: i32, row: i32, k: i32): usize {
  const step = <usize>((row >> 3) * inputs + k);
  const lane = row & 7;
  if (storage == F32) return panels + step * 32 + lane * 4;
  return panels + step * 16 + (lane & 3) * 4 + (lane >> 2) * 2;
}

/** Largest binary16 (as bits without sign) below 64, which is what `codeOf` can hold. */
const LARGEST_CODED: u32 = 0x53ff;

/** Whether all of `count` binary16 numbers have a code. */
export function canCode(source: usize, count: i32): bool {
  let largest: u32 = 0;
  for (let i = 0; i < count; i++) {
    largest = max(largest, <u32>load<u16>(source + <usize>i * 2) & 0x7fff);
  }
  return largest <= LARGEST_CODED;
}

/**
 * A binary16 number below 64 with its exponent raised by 10, which makes subnormals normal: nothing is lost, and the
 * kernels widen it with shifts, masks and one product (`widenCodes`).
 */
export function codeOf(bits: u32): u32 {
  const magnitude = reinterpret<u32>(Mathf.abs(widenF16(bits)));
  // Float32 has exponent bias 127; a code has bias 25.
  return ((bits & 0x8000) | (magnitude ? (magnitude >> 13) - (102 << 10) : 0)) & 0xffff;
}

/** The number of a code. */
export function decode(code: u32): f32 {
  const magnitude = (code & 0x7fff) << 13;
  return reinterpret<f32>((magnitude ? magnitude + (102 << 23) : 0) | ((code & 0x8000) << 16));
}

/** 2^102, by which codes shifted to the place of a float32 are too small. */
const CODE_FACTOR: f32 = reinterpret<f32>((127 + 102) << 23);

/** Rows 0–3 of four words of codes. */
@inline
export function lowerCodes(words: v128): v128 {
  return upperCodes(i32x4.shl(words, 16));
}

/** Rows 4–7 of four words of codes: the sign stays, exponent and fraction move three places down. */
@inline
export function upperCodes(words: v128): v128 {
  const bits = v128.and(i32x4.shr_s(words, 3), i32x4.splat(0x8fffe000));
  return f32x4.mul(bits, f32x4.splat(CODE_FACTOR));
}

/**
 * IEEE 754 binary16 to float32: the shifted bits are the number divided by 2^112, subnormals included; infinities and
 * NaN have all exponent bits set in both formats.
 */
@inline
export function widenF16(bits: u32): f32 {
  const sign = (bits & 0x8000) << 16;
  const shifted = (bits & 0x7fff) << 13;
  const special = shifted >= 0x0f800000;
  const magnitude = special
    ? shifted | 0x7f800000
    : reinterpret<u32>(reinterpret<f32>(shifted) * reinterpret<f32>(0x77800000));
  return reinterpret<f32>(magnitude | sign);
}
