import type { Device, PagePool } from "@transmla/kernels";
import { CacheSequence, type SequenceHost } from "./cache-sequence";
import { LatentCacheError } from "./errors";
import { PageAllocator } from "./page-allocator";
import { bytesPerToken, storageOf, type CachePlane, type PlaneStorage } from "./planes";
import { PrefixTree } from "./prefix-tree";
import type { SequenceStore } from "./store";

export interface PagedCacheOptions {
  /** Planes of every layer: `layers[layer][plane]`. Layers may differ. */
  readonly layers: readonly (readonly CachePlane[])[];
  /** Tokens that fit, over all sequences; rounded up to whole pages. Memory is taken once, here. */
  readonly capacity?: number | undefined;
  /** Instead of `capacity`: as many whole pages as fit into so many bytes. */
  readonly bytes?: number | undefined;
  /** Tokens per page (default 64). */
  readonly pageTokens?: number | undefined;
  /** How numbers are kept (default `f32`). */
  readonly storage?: PlaneStorage | undefined;
}

/**
 * A cache of fixed size in pages of `pageTokens` tokens, shared by any number of sequences. A page number means the same
 * rows in the pool of every layer and plane, so one page table per sequence serves the whole model. Sequences with equal
 * beginnings share pages; pages of released sequences are found again until their place is needed.
 */
export class PagedCache implements SequenceStore {
  readonly layers: readonly (readonly CachePlane[])[];
  readonly pageTokens: number;
  readonly storage: PlaneStorage;
  private readonly pools: readonly (readonly PagePool[])[];
  private readonly host: SequenceHost;

  /**
   * Throws `InvalidArgument` for sizes that are no positive integers, for neither or both of `capacity` and `bytes`, and for
   * `bytes` of less than a page; and the device's `OutOfMemory`.
   */
  constructor(
    readonly device: Device,
    options: PagedCacheOptions,
  ) {
    this.layers = options.layers;
    this.pageTokens = positiveInteger("pageTokens", options.pageTokens ?? 64);
    this.storage = options.storage ?? "f32";
    const pages = pagesOf(options, this.pageTokens, this.bytesPerToken);
    this.pools = this.makePools(pages);
    const tree = new PrefixTree(this.pageTokens);
    this.host = {
      allocator: new PageAllocator(pages, (page) => tree.forget(page)),
      tree,
      pageTokens: this.pageTokens,
      copyPage: (from, to, rows) => this.copyPage(from, to, rows),
      open: new Set(),
    };
  }

  /** Numbers kept per token over all layers: `2 * kvHeads * headDim * layers` for GQA, `(kvLoraRank + ropeDim) * layers` for MLA. */
  get numbersPerToken(): number {
    return this.layers.flat().reduce((sum, plane) => sum + plane.width, 0);
  }

  /** Bytes kept per token over all layers. */
  get bytesPerToken(): number {
    return bytesPerToken(this.layers, this.storage);
  }

  /** Tokens that fit, over all sequences. */
  get capacity(): number {
    return this.host.allocator.pages * this.pageTokens;
  }

  /** Tokens that still fit into pages that no sequence holds. */
  get freeTokens(): number {
    return this.host.allocator.available * this.pageTokens;
  }

  /** Tokens in pages of released sequences that are kept until their place is needed; part of `freeTokens`. */
  get keptTokens(): number {
    return this.host.allocator.keptPages * this.pageTokens;
  }

  /** Bytes behind the pages that sequences hold. */
  get usedBytes(): number {
    return (this.capacity - this.freeTokens) * this.bytesPerToken;
  }

  /** The pools of one layer, in the order of its planes. */
  pool(layer: number): readonly PagePool[] {
    return this.pools[layer]!;
  }

  /**
   * Starts a sequence: with as many of the given tokens, from the first one on, as the cache holds rows for; `length` says how
   * many. Without tokens it is empty.
   */
  open(prefix?: Int32Array): CacheSequence {
    const { tree } = this.host;
    if (!prefix?.length) {
      const ids = new Int32Array(0);
      return new CacheSequence(this.host, {
        pages: [],
        length: 0,
        ids,
        node: tree.root,
        entered: 0,
      });
    }
    const { pages, length, node } = tree.match(prefix);
    const entered = Math.floor(length / this.pageTokens);
    const ids = prefix.subarray(0, length);
    return new CacheSequence(this.host, { pages, length, ids, node, entered });
  }

  /** Releases every sequence and the device memory. */
  destroy(): void {
    for (const sequence of this.host.open) sequence.release();
    for (const pool of this.pools.flat()) this.device.release(pool);
  }

  private makePools(pages: number): PagePool[][] {
    const made: PagePool[] = [];
    try {
      return this.layers.map((planes) =>
        planes.map((plane) => {
          const storage = storageOf(this.storage, plane);
          const layout = { pages, pageTokens: this.pageTokens, width: plane.width, storage };
          const pool = this.device.pagePool(layout);
          made.push(pool);
          return pool;
        }),
      );
    } catch (error) {
      for (const pool of made) this.device.release(pool);
      throw error;
    }
  }

  private copyPage(from: number, to: number, rows: number): void {
    const slots = (page: number) =>
      Int32Array.from({ length: rows }, (_, row) => page * this.pageTokens + row);
    for (const pool of this.pools.flat()) this.device.copyPages(pool, slots(from), slots(to));
  }
}

function pagesOf(
  { capacity, bytes }: PagedCacheOptions,
  pageTokens: number,
  tokenBytes: number,
): number {
  if ((capacity === undefined) === (bytes === undefined)) {
    throw new LatentCacheError("InvalidArgument", "Give a cache either a capacity or bytes.", {
      capacity,
      bytes,
    });
  }
  if (capacity !== undefined) return Math.ceil(positiveInteger("capacity", capacity) / pageTokens);
  const pageBytes = pageTokens * tokenBytes;
  const pages = Math.floor(positiveInteger("bytes", bytes!) / pageBytes);
  if (pages > 0) return pages;
  throw new LatentCacheError(
    "InvalidArgument",
    `A page of ${pageTokens} tokens takes ${pageBytes} bytes, the cache may take ${bytes}.`,
    { bytes, pageBytes },
  );
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
