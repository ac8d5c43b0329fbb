import type { WeightStorage } from "./device";
import { float16 } from "./half";

/** Storages in blocks of GGUF files. */
export type BlockStorage = Exclude<WeightStorage, "f32" | "f16" | "bf16" | "i8">;

interface BlockFormat {
  /** Numbers in a block. */
  readonly numbers: number;
  readonly bytes: number;
  readonly decode: (block: DataView, out: Float32Array) => void;
}

const half = (block: DataView, at: number): number => float16(block.getUint16(at, true));

/** The blocks of ggml (`ggml-common.h`) that devices multiply as they are. */
export const blockFormats: Readonly<Record<BlockStorage, BlockFormat>> = {
  q8_0: { numbers: 32, bytes: 34, decode: decodeQ8 },
  q4_0: {
    numbers: 32,
    bytes: 18,
    decode: (block, out) => decodeNibbles(block, 2, out, half(block, 0), -8 * half(block, 0)),
  },
  q4_1: {
    numbers: 32,
    bytes: 20,
    decode: (block, out) => decodeNibbles(block, 4, out, half(block, 0), half(block, 2)),
  },
  q4_k: { numbers: 256, bytes: 144, decode: decodeQ4K },
  q6_k: { numbers: 256, bytes: 210, decode: decodeQ6K },
};

/** `d` (f16), 32 signed bytes: `w = d q`. */
function decodeQ8(block: DataView, out: Float32Array): void {
  const scale = half(block, 0);
  for (let i = 0; i < 32; i++) out[i] = scale * block.getInt8(2 + i);
}

/** 16 bytes from `at` on, lower nibbles first: `w = scale q + minimum`. */
function decodeNibbles(
  block: DataView,
  at: number,
  out: Float32Array,
  scale: number,
  minimum: number,
): void {
  for (let i = 0; i < 16; i++) {
    const pair = block.getUint8(at + i);
    out[i] = scale * (pair & 0xf) + minimum;
    out[i + 16] = scale * (pair >> 4) + minimum;
  }
}

/**
 * `d`, `e` (f16), 12 bytes with 8 scales `s` and 8 minima `m` of 6 bits, 128 bytes: per 32 numbers `w = d s q - e m`.
 * Numbers `64 p …` and `64 p + 32 …` are the lower and upper nibbles of the same 32 bytes.
 */
function decodeQ4K(block: DataView, out: Float32Array): void {
  const packed = (i: number) => block.getUint8(4 + i);
  for (let g = 0; g < 8; g++) {
    const low = g < 4;
    const s = low ? packed(g) & 63 : (packed(g + 4) & 15) | ((packed(g - 4) >> 6) << 4);
    const m = low ? packed(g + 4) & 63 : (packed(g + 4) >> 4) | ((packed(g) >> 6) << 4);
    const scale = half(block, 0) * s;
    const minimum = half(block, 2) * m;
    for (let i = 0; i < 32; i++) {
      const byte = block.getUint8(16 + (g >> 1) * 32 + i);
      out[g * 32 + i] = scale * ((byte >> ((g & 1) * 4)) & 15) - minimum;
    }
  }
}

/**
 * 128 bytes of lower nibbles, 64 bytes of upper bit pairs, 16 signed scales `s`, `d` (f16): per 16 numbers
 * `w = d s (q - 32)`. In each half of 128 numbers, four rows of 32 take the bit pairs of the same 32 bytes in turn, and
 * rows 0 and 2, 1 and 3 the nibbles of the same 32 bytes.
 */
function decodeQ6K(block: DataView, out: Float32Array): void {
  for (let i = 0; i < 256; i++) {
    const upperHalf = i >> 7;
    const row = (i >> 5) & 3;
    const column = i & 31;
    const low = block.getUint8(upperHalf * 64 + (row & 1) * 32 + column) >> ((row >> 1) * 4);
    const high = block.getUint8(128 + upperHalf * 32 + column) >> (row * 2);
    const scale = half(block, 208) * block.getInt8(192 + (i >> 4));
    out[i] = scale * (((low & 15) | ((high & 3) << 4)) - 32);
  }
}
