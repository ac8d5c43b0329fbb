/**
 * Weights lie in panels of 8 output rows, so that the matrix product reads them front to back: panel `p` holds, for every
 * input `k` in turn, the numbers `W[8p … 8p+7, k]`. The last panel is filled up with zeros.
 *
 * - `F32`: 32 bytes per `k`, rows in order.
 * - `BF16`: 16 bytes per `k`, rows in the order 0 4 1 5 2 6 3 7: as four 32-bit words, rows 0–3 are the lower halves and
 *   rows 4–7 the upper ones, so `word << 16` and `word & 0xffff0000` are float32 numbers in order.
 */
export const F32: i32 = 0;
export const BF16: i32 = 1;

/** Formats in which rows arrive; f16 rows are widened into `F32` panels. */
const SOURCE_F32: i32 = 0;
const SOURCE_BF16: i32 = 1;

/** Address of `W[row, k]`. */
@inline
export function element(panels: usize, storage: i32, inputs: i32, row: i32, k: i32): usize {
  const step = (row >> 3) * inputs + k;
  const lane = row & 7;
  if (storage == F32) return panels + (<usize>step) * 32 + lane * 4;
  return panels + (<usize>step) * 16 + (lane & 3) * 4 + (lane >> 2) * 2;
}

/** Writes `count` row-major rows of format `format` at `source` to rows `first …` of a matrix of panels. */
export function packRows(
  panels: usize,
  format: i32,
  source: usize,
  first: i32,
  count: i32,
  inputs: i32,
): void {
  for (let row = first; row < first + count; row++) {
    if (format == SOURCE_BF16) {
      let to = element(panels, BF16, inputs, row, 0);
      for (let k = 0; k < inputs; k++) {
        store<u16>(to, load<u16>(source));
        source += 2;
        to += 16;
      }
    } else {
      let to = element(panels, F32, inputs, row, 0);
      for (let k = 0; k < inputs; k++) {
        if (format == SOURCE_F32) {
          store<u32>(to, load<u32>(source));
          source += 4;
        } else {
          store<f32>(to, widenF16(load<u16>(source)));
          source += 2;
        }
        to += 32;
      }
    }
  }
}

/**
 * IEEE 754 binary16 to float32: the shifted bits are the number divided by 2^112, subnormals included; infinities and
 * NaN have all exponent bits set in both formats.
 */
@inline
function widenF16(bits: u32): f32 {
  const sign = (bits & 0x8000) << 16;
  const shifted = (bits & 0x7fff) << 13;
  const special = shifted >= 0x0f800000;
  const magnitude = special
    ? shifted | 0x7f800000
    : reinterpret<u32>(reinterpret<f32>(shifted) * reinterpret<f32>(0x77800000));
  return reinterpret<f32>(magnitude | sign);
}

/** Copies row `row` as float32 to `to`. */
export function unpackRow(panels: usize, storage: i32, inputs: i32, row: i32, to: usize): void {
  let from = element(panels, storage, inputs, row, 0);
  const end = to + <usize>inputs * 4;
  while (to < end) {
    if (storage == F32) {
      store<u32>(to, load<u32>(from));
      from += 32;
    } else {
      store<u32>(to, (<u32>load<u16>(from)) << 16);
      from += 16;
    }
    to += 4;
  }
}

/**
 * Makes new panels, of the same storage, of rows `first … first + rows - 1`: as they are, or transposed to a matrix of
 * `inputs` rows. The memory at `to` is zeroed by the caller.
 */
export function repack(
  to: usize,
  panels: usize,
  storage: i32,
  inputs: i32,
  first: i32,
  rows: i32,
  transposed: bool,
): void {
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < inputs; k++) {
      const from = element(panels, storage, inputs, first + row, k);
      const target = transposed
        ? element(to, storage, rows, k, row)
        : element(to, storage, inputs, row, k);
      if (storage == F32) store<u32>(target, load<u32>(from));
      else store<u16>(target, load<u16>(from));
    }
  }
}
