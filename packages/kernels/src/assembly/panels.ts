import { stepInputs, stepVectors } from "./quants";
import { BF16, F16, F32, I8, Q6_K } from "./storages";

/**
 * Weights lie in panels of rows, so that the product with one row of `x` reads memory front to back as a single stream,
 * which is what the prefetchers of processors follow best. The rows of a panel form strips of 8, and a panel goes through
 * its inputs in steps. A strip has the same number of 16-byte vectors in each step, and those of the strips take turns:
 * vector `v` of strip `s` lies at `(v * strips + s) * 16` of a step. The last panel is filled up with zeros.
 *
 * | | rows of a panel | inputs of a step | vectors of a strip in a step |
 * |---|---|---|---|
 * | `F32` | 8 | 1 | 2: the numbers of the 8 rows |
 * | `BF16` | 32 | 1 | 1: rows in the order 0 4 1 5 2 6 3 7; as four 32-bit words, rows 0–3 are the lower halves and rows 4–7 the upper ones, so `word << 16` and `word & 0xffff0000` are float32 numbers in order |
 * | `F16` | 32 | 1 | 1: the same order, each number as in `codeOf` |
 * | quantised | 32 (`Q6_K` 16) | 32 or 256 | see `quants.ts` |
 *
 * Panels of `F32` are one strip wide because the tile of many rows of `x` reads them in place. Before the steps of an
 * `I8` panel lie the float32 scales of its rows.
 */
@inline
export function panelRows(storage: i32): i32 {
  if (storage == F32) return 8;
  return storage == Q6_K ? 16 : 32;
}

/** Bytes from one vector of a strip to its next. */
@inline
export function vectorStep(storage: i32): usize {
  return <usize>panelRows(storage) * 2;
}

/** Bytes of one step. */
@inline
export function stepBytes(storage: i32): usize {
  if (storage == F32) return 2 * vectorStep(F32);
  return storage <= F16 ? vectorStep(storage) : stepVectors(storage) * vectorStep(storage);
}

/** Bytes before the first step. */
@inline
export function scalesBytes(storage: i32): usize {
  return storage == I8 ? 128 : 0;
}

/** Bytes of one panel. */
export function panelBytes(storage: i32, inputs: i32): usize {
  const each = storage <= F16 ? 1 : stepInputs(storage);
  return scalesBytes(storage) + <usize>((inputs + each - 1) / each) * stepBytes(storage);
}

/** Address of the panel of a row. */
@inline
export function panelOf(panels: usize, storage: i32, inputs: i32, row: i32): usize {
  return panels + <usize>(row / panelRows(storage)) * panelBytes(storage, inputs);
}

/** Address of the first vector of the strip that holds a row. */
export function stripOf(panels: usize, storage: i32, inputs: i32, row: i32): usize {
  const strip = <usize>((row & (panelRows(storage) - 1)) >> 3);
  return panelOf(panels, storage, inputs, row) + scalesBytes(storage) + strip * 16;
}

/** Address of `W[row, k]` in panels of F32, BF16 or F16. */
@inline
export function element(panels: usize, storage: i32, inputs: i32, row: i32, k: i32): usize {
  const at = stripOf(panels, storage, inputs, row) + <usize>k * stepBytes(storage);
  const lane = row & 7;
  if (storage == F32) return at + lane * 4;
  return at + (lane & 3) * 4 + (lane >> 2) * 2;
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
