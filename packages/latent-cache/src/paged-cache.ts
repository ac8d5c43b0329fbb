import type { CacheStorage, Device, PagePool } from "@transmla/kernels";
import { CacheSequence } from "./cache-sequence";
import { LatentCacheError } from "./errors";
import { PageAllocator } from "./page-allocator";

/**
 * What one layer keeps per token, one entry per plane: latents and rotated keys for MLA, keys and values for GQA.
 * Only the widths matter to the cache.
 */
export interface CachePlane {
  readonly name: string;
  /** Numbers per token. */
  readonly width: number;
}

export interface PagedCacheOptions {
  /** Planes of every layer: `layers[layer][plane]`. Layers may differ. */
  readonly layers: readonly (readonly CachePlane[])[];
  /** Tokens that fit, over all sequences; rounded up to whole pages. Memory is taken once, here. */
  readonly capacity: number;
  /** Tokens per page (default 64). */
  readonly pageTokens?: number;
  /** How numbers are kept (default `f32`). */
  readonly storage?: CacheStorage | undefined;
}

/** Bytes of a row of `width` numbers; bytes have a float32 scale beside them. */
const rowBytes: Readonly<Record<CacheStorage, (width: number) => number>> = {
  f32: (width) => 4 * width,
  f16: (width) => 2 * width,
  bf16: (width) => 2 * width,
  i8: (width) => width + 4,
};

/**
 * A cache of fixed size in pages of `pageTokens` tokens, shared by any number of sequences. A page number means the same
 * rows in the pool of every layer and plane, so one page table per sequence serves the whole model.
 */
export class PagedCache {
  readonly layers: readonly (readonly CachePlane[])[];
  readonly pageTokens: number;
  readonly storage: CacheStorage;
  private readonly pools: readonly (readonly PagePool[])[];
  private readonly allocator: PageAllocator;
  private readonly sequences = new Set<CacheSequence>();

  /** Throws `InvalidArgument` for sizes that are no positive integers, and the device's `OutOfMemory`. */
  constructor(
    private readonly device: Device,
    options: PagedCacheOptions,
  ) {
    this.layers = options.layers;
    this.pageTokens = positiveInteger("pageTokens", options.pageTokens ?? 64);
    const pages = Math.ceil(positiveInteger("capacity", options.capacity) / this.pageTokens);
    this.allocator = new PageAllocator(pages);
    this.storage = options.storage ?? "f32";
    const layout = { pages, pageTokens: this.pageTokens, storage: this.storage };
    this.pools = options.layers.map((planes) =>
      planes.map(({ width }) => device.pagePool({ ...layout, width })),
    );
  }

  /** Numbers kept per token over all layers: `2 * kvHeads * headDim * layers` for GQA, `(kvLoraRank + ropeDim) * layers` for MLA. */
  get numbersPerToken(): number {
    return this.layers.flat().reduce((sum, plane) => sum + plane.width, 0);
  }

  /** Bytes kept per token over all layers. */
  get bytesPerToken(): number {
    const bytesOf = rowBytes[this.storage];
    return this.layers.flat().reduce((sum, plane) => sum + bytesOf(plane.width), 0);
  }

  /** Tokens that still fit into untouched pages. */
  get freeTokens(): number {
    return this.allocator.available * this.pageTokens;
  }

  /** Bytes behind the pages in use. */
  get usedBytes(): number {
    const pages = this.allocator.pages - this.allocator.available;
    return pages * this.pageTokens * this.bytesPerToken;
  }

  /** The pools of one layer, in the order of its planes. */
  pool(layer: number): readonly PagePool[] {
    return this.pools[layer];
  }

  /** Starts an empty sequence. */
  open(): CacheSequence {
    const sequence = new CacheSequence(this.allocator, this.pageTokens, () =>
      this.sequences.delete(sequence),
    );
    this.sequences.add(sequence);
    return sequence;
  }

  /** Releases every sequence and the device memory. */
  destroy(): void {
    for (const sequence of this.sequences) sequence.release();
    for (const pool of this.pools.flat()) this.device.release(pool);
  }
}

function positiveInteger(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new LatentCacheError(
      "InvalidArgument",
      `${name} must be a positive integer, got ${value}.`,
      {
        [name]: value,
      },
    );
  }
  return value;
}
