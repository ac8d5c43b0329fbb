import type { WeightStorage } from "@transmla/kernels";
import { HALVES } from "../wgsl/halves";

/**
 * How a storage lies on the GPU, and how kernels read it. Rows are padded to whole words (with zeros); numbers of 16 bits that
 * belong to a block move to the end of the row, so that all else is aligned. Nothing is widened.
 *
 *     w = scale * raw + minimum
 */
export interface WeightFormat {
  /** WGSL type of one element of the buffer. */
  readonly element: "u32" | "vec2<u32>" | "vec4<u32>";
  /** Numbers that share scale and minimum, from a multiple of it on: 4 at least, where there is neither. */
  readonly group: number;
  readonly scale: "none" | "group" | "row";
  /** Whether there is a minimum. */
  readonly shifted: boolean;
  /** Words of a row of `columns` numbers. */
  rowWords(columns: number): number;
  /** Word of a row where the numbers of 16 bits start (blocks), for the kernel. */
  tailWord(columns: number): number;
  /** Rows as they arrive → rows as they lie on the GPU. */
  pack(bytes: Uint8Array, rows: number, columns: number): Uint8Array;
  /**
   * WGSL: `raw4(row, column) -> vec4<f32>` for a column that 4 divides; `scaleOf(row, column) -> vec2<f32>`, scale and minimum.
   * They read `weights` at `params.rowElements` per row and `params.tail`.
   */
  readonly code: string;
}

const up = (n: number, multiple: number) => Math.ceil(n / multiple) * multiple;

/** Formats of one number after the other. */
function plain(
  bytesEach: number,
  element: WeightFormat["element"],
  elementNumbers: number,
  raw: string,
): WeightFormat {
  const rowWords = (columns: number) => (up(columns, elementNumbers) * bytesEach) / 4;
  return {
    element,
    group: 4,
    scale: "none",
    shifted: false,
    rowWords,
    tailWord: () => 0,
    pack: (bytes, rows, columns) =>
      moveRows(bytes, rows, 4 * rowWords(columns), [
        { from: 0, to: 0, bytes: bytesEach * columns },
      ]),
    code: /* wgsl */ `${HALVES}
fn raw4(row: u32, column: u32) -> vec4<f32> {
  let word = weights[row * params.rowElements + column / 4u];
  ${raw}
}
fn scaleOf(row: u32, column: u32) -> vec2<f32> { return vec2<f32>(1.0, 0.0); }`,
  };
}

/** Blocks of GGUF files: `body` bytes of a block stay together, `tail` bytes (one or no number of 16 bits) move to the end of the row. */
function blocks(
  numbers: number,
  block: { readonly bytes: number; readonly tailAt: number | undefined },
  format: { readonly group: number; readonly shifted: boolean; readonly code: string },
): WeightFormat {
  const tailBytes = block.tailAt === undefined ? 0 : 2;
  const body = block.bytes - tailBytes;
  const tailWord = (columns: number) => ((columns / numbers) * body) / 4;
  const rowWords = (columns: number) =>
    tailWord(columns) + Math.ceil(((columns / numbers) * tailBytes) / 4);
  return {
    element: "u32",
    group: format.group,
    scale: "group",
    shifted: format.shifted,
    rowWords,
    tailWord,
    pack(bytes, rows, columns) {
      const moves: Move[] = [];
      for (let b = 0; b < columns / numbers; b++) {
        const from = b * block.bytes;
        moves.push({ from: from + (block.tailAt === 0 ? 2 : 0), to: b * body, bytes: body });
        if (block.tailAt === undefined) continue;
        moves.push({ from: from + block.tailAt, to: 4 * tailWord(columns) + 2 * b, bytes: 2 });
      }
      return moveRows(bytes, rows, 4 * rowWords(columns), moves);
    },
    code: /* wgsl */ `${HALVES}
/** The number of 16 bits of a block at the end of the row. */
fn tailOf(row: u32, block: u32) -> f32 {
  let word = weights[row * params.rowElements + params.tail + block / 2u];
  return float16(word >> (16u * (block & 1u)));
}
/** The lower (0) or upper (4) halves of the bytes of a word. */
fn nibbles(word: u32, shift: u32) -> vec4<f32> {
  return vec4<f32>((vec4<u32>(word >> shift) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u));
}
${format.code}`,
  };
}

/** Storages and their formats; a new one is one entry. */
export const weightFormats: Readonly<Record<WeightStorage, WeightFormat>> = {
  f32: plain(4, "vec4<u32>", 4, "return bitcast<vec4<f32>>(word);"),
  f16: plain(2, "vec2<u32>", 4, "return vec4<f32>(float16s(word.x), float16s(word.y));"),
  bf16: plain(2, "vec2<u32>", 4, "return vec4<f32>(bfloat16s(word.x), bfloat16s(word.y));"),
  i8: {
    element: "u32",
    group: 4,
    scale: "row",
    shifted: false,
    rowWords: (columns) => 1 + up(columns, 4) / 4,
    tailWord: () => 0,
    pack(bytes, rows, columns) {
      const size = 4 + up(columns, 4);
      return moveRows(bytes, rows, size, [{ from: 0, to: 0, bytes: 4 + columns }]);
    },
    code: /* wgsl */ `${HALVES}
fn raw4(row: u32, column: u32) -> vec4<f32> {
  return bytes4(weights[row * params.rowElements + 1u + column / 4u]);
}
fn scaleOf(row: u32, column: u32) -> vec2<f32> {
  return vec2<f32>(bitcast<f32>(weights[row * params.rowElements]), 0.0);
}`,
  },
  q8_0: blocks(
    32,
    { bytes: 34, tailAt: 0 },
    {
      group: 32,
      shifted: false,
      code: /* wgsl */ `
fn raw4(row: u32, column: u32) -> vec4<f32> {
  return bytes4(weights[row * params.rowElements + column / 4u]);
}
fn scaleOf(row: u32, column: u32) -> vec2<f32> { return vec2<f32>(tailOf(row, column / 32u), 0.0); }`,
    },
  ),
  q4_0: blocks(
    32,
    { bytes: 18, tailAt: 0 },
    {
      group: 32,
      shifted: false,
      code: /* wgsl */ `
fn raw4(row: u32, column: u32) -> vec4<f32> {
  let word = weights[row * params.rowElements + column / 32u * 4u + (column & 15u) / 4u];
  return nibbles(word, (column & 16u) / 4u) - 8.0;
}
fn scaleOf(row: u32, column: u32) -> vec2<f32> { return vec2<f32>(tailOf(row, column / 32u), 0.0); }`,
    },
  ),
  q4_1: blocks(
    32,
    { bytes: 20, tailAt: undefined },
    {
      group: 32,
      shifted: true,
      code: /* wgsl */ `
fn raw4(row: u32, column: u32) -> vec4<f32> {
  let word = weights[row * params.rowElements + column / 32u * 5u + 1u + (column & 15u) / 4u];
  return nibbles(word, (column & 16u) / 4u);
}
fn scaleOf(row: u32, column: u32) -> vec2<f32> {
  return float16s(weights[row * params.rowElements + column / 32u * 5u]);
}`,
    },
  ),
  q4_k: blocks(
    256,
    { bytes: 144, tailAt: undefined },
    {
      group: 32,
      shifted: true,
      code: /* wgsl */ `
fn raw4(row: u32, column: u32) -> vec4<f32> {
  let group = (column & 255u) / 32u;
  let at = row * params.rowElements + column / 256u * 36u;
  return nibbles(weights[at + 4u + (group >> 1u) * 8u + (column & 31u) / 4u], (group & 1u) * 4u);
}
/** Byte i of the 12 in which the scales and minima of a block lie. */
fn packedScale(at: u32, i: u32) -> u32 { return (weights[at + 1u + i / 4u] >> (8u * (i & 3u))) & 255u; }
fn scaleOf(row: u32, column: u32) -> vec2<f32> {
  let g = (column & 255u) / 32u;
  let at = row * params.rowElements + column / 256u * 36u;
  let halves = float16s(weights[at]);
  var scale = packedScale(at, g) & 63u;
  var minimum = packedScale(at, g + 4u) & 63u;
  if (g >= 4u) {
    let both = packedScale(at, g + 4u);
    scale = (both & 15u) | ((packedScale(at, g - 4u) >> 6u) << 4u);
    minimum = (both >> 4u) | ((packedScale(at, g) >> 6u) << 4u);
  }
  return vec2<f32>(halves.x * f32(scale), -halves.y * f32(minimum));
}`,
    },
  ),
  q6_k: blocks(
    256,
    { bytes: 210, tailAt: 208 },
    {
      group: 16,
      shifted: false,
      code: /* wgsl */ `
fn raw4(row: u32, column: u32) -> vec4<f32> {
  let at = row * params.rowElements + column / 256u * 52u;
  let half = (column & 255u) >> 7u;
  let line = (column >> 5u) & 3u;
  let word = (column & 31u) / 4u;
  let low = weights[at + half * 16u + (line & 1u) * 8u + word] >> ((line >> 1u) * 4u);
  let high = weights[at + 32u + half * 8u + word] >> (line * 2u);
  let bits = (low & 0x0f0f0f0fu) | ((high & 0x03030303u) << 4u);
  return vec4<f32>((vec4<u32>(bits) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(63u)) - 32.0;
}
fn scaleOf(row: u32, column: u32) -> vec2<f32> {
  let i = (column & 255u) / 16u;
  let word = weights[row * params.rowElements + column / 256u * 52u + 48u + i / 4u];
  return vec2<f32>(tailOf(row, column / 256u) * bytes4(word)[i & 3u], 0.0);
}`,
    },
  ),
};

/** Bytes of a row on the GPU. */
export function gpuRowBytes(storage: WeightStorage, columns: number): number {
  return 4 * weightFormats[storage].rowWords(columns);
}

interface Move {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

/** Moves parts of every row to their places in rows of `size` bytes. */
function moveRows(
  bytes: Uint8Array,
  rows: number,
  size: number,
  moves: readonly Move[],
): Uint8Array {
  const rowBytes = bytes.byteLength / rows;
  const [only] = moves;
  if (moves.length === 1 && only!.bytes === size && rowBytes === size) return bytes;
  const packed = new Uint8Array(rows * size);
  for (let row = 0; row < rows; row++) {
    const source = row * rowBytes;
    const target = row * size;
    for (const move of moves) {
      // Loops beat `set` with a subarray for the few bytes of a block.
      if (move.bytes > 256) {
        const start = source + move.from;
        packed.set(bytes.subarray(start, start + move.bytes), target + move.to);
      } else {
        for (let i = 0; i < move.bytes; i++)
          packed[target + move.to + i] = bytes[source + move.from + i]!;
      }
    }
  }
  return packed;
}
