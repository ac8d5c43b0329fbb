import { LatentCacheError } from "./errors";

/** Hands out page numbers `0 … pages - 1`, lowest first, so that equal histories give equal page tables. */
export class PageAllocator {
  private readonly free: number[];

  constructor(readonly pages: number) {
    this.free = Array.from({ length: pages }, (_, index) => pages - 1 - index);
  }

  get available(): number {
    return this.free.length;
  }

  /** Takes `count` pages or none. Throws `CacheFull`. */
  take(count: number): number[] {
    if (count > this.free.length) {
      throw new LatentCacheError(
        "CacheFull",
        `The cache has ${this.free.length} of ${this.pages} pages left, ${count} are needed. ` +
          "Release sequences or open the cache with a larger capacity.",
        { needed: count, available: this.free.length, pages: this.pages },
      );
    }
    return Array.from({ length: count }, () => this.free.pop()!);
  }

  give(pages: readonly number[]): void {
    this.free.push(...pages);
    this.free.sort((a, b) => b - a);
  }
}
