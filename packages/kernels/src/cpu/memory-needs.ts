import { cacheStorageOf } from "../cache-storage";
import type { MemoryNeeds, WeightStorage } from "../device";
import { cacheRowBytes } from "./cache-rows";
import { ALIGNMENT } from "./memory";

/** Bytes of a panel of 8 rows, as `panelBytes` of `assembly/panels.ts` gives them to the kernels. */
const panelBytes: Readonly<Record<WeightStorage, (inputs: number) => number>> = {
  f32: (inputs) => 32 * inputs,
  f16: (inputs) => 16 * inputs,
  bf16: (inputs) => 16 * inputs,
  i8: (inputs) => 32 + 256 * Math.ceil(inputs / 32),
  q8_0: (inputs) => (272 / 32) * inputs,
  q4_0: (inputs) => (144 / 32) * inputs,
  q4_1: (inputs) => (160 / 32) * inputs,
  q4_k: (inputs) => (1184 / 256) * inputs,
  q6_k: (inputs) => (1680 / 256) * inputs,
};

/**
 * Bytes that weights, tensors and caches take on a CPU device, in its own layout; what operations need while they run
 * comes on top. Known without a device, so that `memoryLimit` can be chosen by it.
 */
export function cpuMemoryBytes({ weights = [], tensors = [], pools = [] }: MemoryNeeds): number {
  const blocks = [
    ...weights.map(
      ({ shape: [outputs, inputs], storage }) =>
        Math.ceil(outputs / 8) * panelBytes[storage](inputs),
    ),
    ...tensors.map(([rows, columns]) => 4 * rows * columns),
    ...pools.map(
      (pool) => pool.pages * pool.pageTokens * cacheRowBytes(cacheStorageOf(pool), pool.width),
    ),
  ];
  return blocks.reduce((sum, bytes) => sum + Math.ceil(bytes / ALIGNMENT) * ALIGNMENT, 0);
}
