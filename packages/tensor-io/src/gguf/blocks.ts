import type { GgufBlockDType } from "../dtype";
import { f16Table } from "../minifloat";

/**
 * Decoders of the quantised blocks of ggml (`block_q4_0` and so on in ggml-common.h). Scales have 11 significant
 * bits, group scales and quants at most 8, so products are exact in float64 and one rounding remains, as in ggml.
 */
export const blockDecoders: Readonly<
  Record<GgufBlockDType, (bytes: Uint8Array, out: Float32Array) => void>
> = {
  Q8_0: decodeQ8_0,
  Q4_0: (bytes, out) => decodeNibbles(bytes, out, { centre: 8, minimum: false, fifthBit: false }),
  Q4_1: (bytes, out) => decodeNibbles(bytes, out, { centre: 0, minimum: true, fifthBit: false }),
  Q5_0: (bytes, out) => decodeNibbles(bytes, out, { centre: 16, minimum: false, fifthBit: true }),
  Q5_1: (bytes, out) => decodeNibbles(bytes, out, { centre: 0, minimum: true, fifthBit: true }),
  Q4_K: (bytes, out) => decodeSuperblocks(bytes, out, 0),
  Q5_K: (bytes, out) => decodeSuperblocks(bytes, out, 32),
  Q6_K: decodeQ6K,
};

const halfAt = (table: Float32Array, bytes: Uint8Array, at: number) =>
  table[bytes[at] | (bytes[at + 1] << 8)];

/** Blocks of 32: scale f16, 32 x int8. value = scale * q */
function decodeQ8_0(bytes: Uint8Array, out: Float32Array): void {
  const halves = f16Table();
  let at = 0;
  for (let o = 0; o < out.length; o += 32) {
    const scale = halfAt(halves, bytes, at);
    at += 2;
    for (let i = 0; i < 32; i++) out[o + i] = scale * ((bytes[at + i] << 24) >> 24);
    at += 32;
  }
}

interface NibbleBlock {
  /** Subtracted from the quant. */
  readonly centre: number;
  /** True when an f16 minimum follows the scale. */
  readonly minimum: boolean;
  /** True when 32 high bits come before the nibbles. */
  readonly fifthBit: boolean;
}

/**
 * Blocks of 32: scale f16, [minimum f16], [32 high bits], 16 bytes whose low halves are values 0..15 and whose high
 * halves are values 16..31. value = scale * (q - centre) + minimum
 */
function decodeNibbles(bytes: Uint8Array, out: Float32Array, form: NibbleBlock): void {
  const halves = f16Table();
  const { centre } = form;
  let at = 0;
  for (let o = 0; o < out.length; o += 32) {
    const scale = halfAt(halves, bytes, at);
    at += 2;
    // Adding -0 changes nothing; adding 0 would lose the sign of -0.
    const minimum = form.minimum ? halfAt(halves, bytes, at) : -0;
    if (form.minimum) at += 2;
    const high = form.fifthBit ? littleEndian32(bytes, at) : 0;
    if (form.fifthBit) at += 4;
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + i];
      const low = (pair & 0xf) | (((high >>> i) & 1) << 4);
      const upper = (pair >> 4) | (((high >>> (i + 16)) & 1) << 4);
      out[o + i] = scale * (low - centre) + minimum;
      out[o + i + 16] = scale * (upper - centre) + minimum;
    }
    at += 16;
  }
}

function littleEndian32(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

/**
 * Q4_K and Q5_K, blocks of 256: scale f16, minimum scale f16, 12 bytes with eight 6-bit scales and minima,
 * [32 bytes of fifth bits], 128 bytes of nibbles. Group g of 32 values has its own scale and minimum:
 * value = scale * s_g * q - minimumScale * m_g
 */
function decodeSuperblocks(bytes: Uint8Array, out: Float32Array, highBytes: 0 | 32): void {
  const halves = f16Table();
  const blockBytes = 16 + highBytes + 128;
  for (let o = 0, at = 0; o < out.length; o += 256, at += blockBytes) {
    const scale = halfAt(halves, bytes, at);
    const minimumScale = halfAt(halves, bytes, at + 2);
    const high = at + 16;
    for (let group = 0; group < 8; group++) {
      const groupScale = scale * sixBits(bytes, at + 4, group, 0);
      const groupMinimum = minimumScale * sixBits(bytes, at + 4, group, 4);
      // Groups 2k and 2k + 1 share 32 bytes: the low and the high halves.
      const nibbles = high + highBytes + (group >> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const fifth = highBytes === 0 ? 0 : ((bytes[high + i] >> group) & 1) << 4;
        const quant = ((bytes[nibbles + i] >> shift) & 0xf) | fifth;
        out[o + group * 32 + i] = groupScale * quant - groupMinimum;
      }
    }
  }
}

/**
 * Number `group` of the packed scales (`first` = 0) or minima (`first` = 4): groups 0..3 are the low six bits of
 * bytes first..first+3; groups 4..7 have four bits in bytes 8..11 and two in the top of the former.
 */
function sixBits(bytes: Uint8Array, at: number, group: number, first: 0 | 4): number {
  if (group < 4) return bytes[at + first + group] & 0x3f;
  const low = bytes[at + 4 + group] >> first;
  return (low & 0xf) | ((bytes[at + first + group - 4] >> 6) << 4);
}

/**
 * Blocks of 256: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 x int8 scales, scale f16. Each half of 128
 * values is four rows of 32; row r takes nibble r >> 1 of low bytes (r & 1) * 32 + i and bit pair r of high byte i.
 * value = scale * s_(index >> 4) * (q - 32)
 */
function decodeQ6K(bytes: Uint8Array, out: Float32Array): void {
  const halves = f16Table();
  for (let o = 0, at = 0; o < out.length; o += 256, at += 210) {
    const scale = halfAt(halves, bytes, at + 208);
    for (let index = 0; index < 256; index++) {
      const half = index >> 7;
      const row = (index >> 5) & 3;
      const i = index & 31;
      const low = bytes[at + half * 64 + (row & 1) * 32 + i] >> ((row >> 1) * 4);
      const high = bytes[at + 128 + half * 32 + i] >> (row * 2);
      const groupScale = (bytes[at + 192 + (index >> 4)] << 24) >> 24;
      out[o + index] = scale * groupScale * (((low & 0xf) | ((high & 3) << 4)) - 32);
    }
  }
}
