import { cacheStorageOf } from "../cache-storage";
import type { MemoryNeeds, WeightStorage } from "../device";
import { cacheRowBytes } from "./cache-rows";
import { ALIGNMENT } from "./memory";

/** Rows and bytes of a panel, as `panelRows` and `panelBytes` of `assembly/panels.ts` give them to the kernels. */
const panels: Readonly<
  Record<WeightStorage, { readonly rows: number; readonly bytes: (inputs: number) => number }>
> = {
  f32: { rows: 8, bytes: (inputs) => 32 * inputs },
  f16: { rows: 32, bytes: (inputs) => 64 * inputs },
  bf16: { rows: 32, bytes: (inputs) => 64 * inputs },
  i8: { rows: 32, bytes: (inputs) => 128 + 1024 * Math.ceil(inputs / 32) },
  q8_0: { rows: 32, bytes: (inputs) => ((4 * 272) / 32) * inputs },
  q4_0: { rows: 32, bytes: (inputs) => ((4 * 144) / 32) * inputs },
  q4_1: { rows: 32, bytes: (inputs) => ((4 * 160) / 32) * inputs },
  q4_k: { rows: 32, bytes: (inputs) => ((4 * 1184) / 256) * inputs },
  q6_k: { rows: 16, bytes: (inputs) => ((2 * 1680) / 256) * inputs },
};

/**
 * Bytes that weights, tensors and caches take on a CPU device, in its own layout; what operations need while they run
 * comes on top. Known without a device, so that `memoryLimit` can be chosen by it.
 */
export function cpuMemoryBytes({ weights = [], tensors = [], pools = [] }: MemoryNeeds): number {
  const blocks = [
    ...weights.map(({ shape: [outputs, inputs], storage }) => {
      const { rows, bytes } = panels[storage];
      return Math.ceil(outputs / rows) * bytes(inputs);
    }),
    ...tensors.map(([rows, columns]) => 4 * rows * columns),
    ...pools.map(
      (pool) => pool.pages * pool.pageTokens * cacheRowBytes(cacheStorageOf(pool), pool.width),
    ),
  ];
  return blocks.reduce((sum, bytes) => sum + Math.ceil(bytes / ALIGNMENT) * ALIGNMENT, 0);
}
