import { encodeMinifloat, minifloatFormats } from "../minifloat";

const blockElements = 32;
const blockBytes = 34;

/**
 * Writes Q8_0 blocks of 32 as ggml's reference quantisation does (`quantize_row_q8_0_ref`): scale `d = max|x| / 127` in f16,
 * `q = round(x / d)` with halves away from zero, all steps in float32.
 * @returns the index of the first value that is not finite or too large for the f16 scale, or -1
 */
export function encodeQ8_0(values: Float32Array, bytes: Uint8Array): number {
  const half = new Uint16Array(1);
  const scale = new Float32Array(1);
  for (let o = 0, at = 0; o < values.length; o += blockElements, at += blockBytes) {
    const largest = largestOf(values, o);
    scale[0] = Math.abs(values[largest]) / 127;
    if (!Number.isFinite(scale[0])) return largest;
    if (encodeMinifloat(scale, minifloatFormats.F16, "error", half) >= 0) return largest;
    bytes[at] = half[0] & 0xff;
    bytes[at + 1] = half[0] >> 8;
    const inverse = scale[0] === 0 ? 0 : Math.fround(1 / scale[0]);
    for (let i = 0; i < blockElements; i++) {
      const quotient = Math.fround(values[o + i] * inverse);
      bytes[at + 2 + i] = Math.sign(quotient) * Math.floor(Math.abs(quotient) + 0.5);
    }
  }
  return -1;
}

/** Index of the largest magnitude of a block; of the first NaN if there is one. */
function largestOf(values: Float32Array, begin: number): number {
  let largest = begin;
  for (let i = begin; i < begin + blockElements; i++) {
    if (Number.isNaN(values[i])) return i;
    if (Math.abs(values[i]) > Math.abs(values[largest])) largest = i;
  }
  return largest;
}
