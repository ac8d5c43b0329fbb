import type { MemoryNeeds } from "@transmla/kernels";
import { poolBytes } from "./formats/cache-formats";
import { gpuRowBytes } from "./formats/weight-formats";
import { sizeClass, type BufferPool } from "./runtime/buffer-pool";

/** Throws `OutOfMemory` unless everything fits beside what is there, each thing within what a kernel can see at once. */
export function checkRoom(pool: BufferPool, needs: MemoryNeeds): void {
  const { weights = [], tensors = [], pools = [] } = needs;
  const weightBytes = weights.map(({ shape: [rows, columns], storage }) => {
    const bytes = gpuRowBytes(storage, columns);
    // A weight can lie in several buffers, a row in one.
    pool.checkBinding(bytes, "one row of a weight");
    return rows * bytes;
  });
  const tensorBytes = tensors.map(([rows, columns]) => 4 * rows * columns);
  const planeBytes = pools.map(poolBytes);
  for (const bytes of tensorBytes) pool.checkBinding(bytes, "one tensor");
  for (const bytes of planeBytes) {
    pool.checkBinding(
      bytes,
      "one plane of a cache (a shorter context or a narrower storage helps)",
    );
  }
  const all = [...weightBytes, ...tensorBytes.map(sizeClass), ...planeBytes];
  pool.checkTotal(all.reduce((sum, bytes) => sum + Math.ceil(bytes / 16) * 16, 0));
}
