import type { CacheStorage } from "@transmla/kernels";

/**
 * What one layer keeps per token, one entry per plane: latents and rotated keys for MLA, keys and values for GQA.
 * Only the widths matter to the cache.
 */
export interface CachePlane {
  readonly name: string;
  /** Numbers per token. */
  readonly width: number;
}

/**
 * How numbers are kept: one storage for all planes, or one per name of a plane, `f32` for those without. Latents bear bytes;
 * what is rotated is better kept finer: `{ latents: "i8", "rope-keys": "bf16" }`.
 */
export type PlaneStorage = CacheStorage | Readonly<Partial<Record<string, CacheStorage>>>;

/** How a plane is kept. */
export function storageOf(storage: PlaneStorage, plane: CachePlane): CacheStorage {
  return typeof storage === "string" ? storage : (storage[plane.name] ?? "f32");
}

/** Bytes of a row of `width` numbers; signed bytes have a float32 scale beside them. */
const rowBytes: Readonly<Record<CacheStorage, (width: number) => number>> = {
  f32: (width) => 4 * width,
  f16: (width) => 2 * width,
  bf16: (width) => 2 * width,
  i8: (width) => width + 4,
};

/** Bytes of one token over all layers. */
export function bytesPerToken(
  layers: readonly (readonly CachePlane[])[],
  storage: PlaneStorage,
): number {
  return layers
    .flat()
    .reduce((sum, plane) => sum + rowBytes[storageOf(storage, plane)](plane.width), 0);
}
