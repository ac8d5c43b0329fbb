import type { CacheStorage, PageLayout } from "@transmla/kernels";
import { deviceKit } from "@transmla/kernels";

/** How rows of a cache lie on the GPU: four numbers in one element, rows padded to it; scales of all rows after all rows. */
export interface CacheFormat {
  /** WGSL type of four numbers. */
  readonly element: "vec4<u32>" | "vec2<u32>" | "u32";
  /** Bytes of four numbers. */
  readonly quadBytes: number;
  /** Whether rows have a scale. */
  readonly scaled: boolean;
  /** WGSL expression of type vec4<f32> for the element `word`. */
  readonly decode: string;
  /** WGSL expression of the element for `x: vec4<f32>`; with a scale `q` is `x / scale`, rounded. */
  readonly encode: string;
}

/** Storages and their formats; a new one is one entry. */
export const cacheFormats: Readonly<Record<CacheStorage, CacheFormat>> = {
  f32: {
    element: "vec4<u32>",
    quadBytes: 16,
    scaled: false,
    decode: "bitcast<vec4<f32>>(word)",
    encode: "bitcast<vec4<u32>>(x)",
  },
  f16: {
    element: "vec2<u32>",
    quadBytes: 8,
    scaled: false,
    decode: "vec4<f32>(float16s(word.x), float16s(word.y))",
    encode:
      "vec2<u32>(toFloat16(x.x) | (toFloat16(x.y) << 16u), toFloat16(x.z) | (toFloat16(x.w) << 16u))",
  },
  bf16: {
    element: "vec2<u32>",
    quadBytes: 8,
    scaled: false,
    decode: "vec4<f32>(bfloat16s(word.x), bfloat16s(word.y))",
    encode:
      "vec2<u32>(toBfloat16(x.x) | (toBfloat16(x.y) << 16u), toBfloat16(x.z) | (toBfloat16(x.w) << 16u))",
  },
  i8: {
    element: "u32",
    quadBytes: 4,
    scaled: true,
    decode: "bytes4(word)",
    encode: "(q.x & 255u) | ((q.y & 255u) << 8u) | ((q.z & 255u) << 16u) | (q.w << 24u)",
  },
};

/** Elements of a row: one for four numbers. */
export const rowQuads = (width: number): number => Math.ceil(width / 4);

/** Bytes of a pool on the GPU. */
export function poolBytes(layout: PageLayout): number {
  const { quadBytes, scaled } = cacheFormats[deviceKit.cacheStorageOf(layout)];
  const rows = layout.pages * layout.pageTokens;
  return rows * (rowQuads(layout.width) * quadBytes + (scaled ? 4 : 0));
}

/**
 * WGSL: `NAME_quad(row, quad) -> vec4<f32>`, four numbers of a row of the pool that is bound as `NAME`, its scale applied.
 *
 * @param rows expression of the number of rows of the pool, which is where scales start
 */
export function poolReader(
  name: string,
  storage: CacheStorage,
  quads: string,
  rows: string,
): string {
  const { decode, scaled } = cacheFormats[storage];
  const scale = scaled ? ` * bitcast<f32>(${name}[${rows} * ${quads} + row])` : "";
  return /* wgsl */ `
fn ${name}_quad(row: u32, quad: u32) -> vec4<f32> {
  let word = ${name}[row * ${quads} + quad];
  return ${decode}${scale};
}`;
}
