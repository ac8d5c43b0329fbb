import { LatentCacheError } from "./errors";

/**
 * Counts the references to pages `0 … pages - 1`. A page without any is unused, or kept because its rows may be wanted
 * again. Unused pages are handed out lowest first, so that equal histories give equal page tables; then kept ones, the least
 * recently used first.
 */
export class PageAllocator {
  private readonly references: Int32Array;
  /** Pages without references that are kept, in the order in which they were given back. */
  private readonly kept = new Set<number>();
  private unused: number;
  /** No page below it is unused. */
  private lowest = 0;

  /** @param onEvict told of every kept page that is about to be handed out */
  constructor(
    readonly pages: number,
    private readonly onEvict: (page: number) => void,
  ) {
    this.references = new Int32Array(pages);
    this.unused = pages;
  }

  /** Pages that `take` can still give. */
  get available(): number {
    return this.unused + this.kept.size;
  }

  get keptPages(): number {
    return this.kept.size;
  }

  /** References to a page. */
  count(page: number): number {
    return this.references[page]!;
  }

  /** Takes `count` pages, each with one reference, or none. Throws `CacheFull`. */
  take(count: number): number[] {
    if (count > this.available) {
      throw new LatentCacheError(
        "CacheFull",
        `The cache has ${this.available} of ${this.pages} pages left, ${count} are needed. ` +
          "Release sequences or open the cache with a larger capacity.",
        { needed: count, available: this.available, pages: this.pages },
      );
    }
    return Array.from({ length: count }, () => {
      const page = this.unused > 0 ? this.takeUnused() : this.evictOldest();
      this.references[page] = 1;
      return page;
    });
  }

  /** Adds a reference to a page that is in use or kept. */
  share(page: number): void {
    this.kept.delete(page);
    this.references[page]!++;
  }

  /** Takes a reference away; the last one makes the page unused, or kept. */
  give(page: number, keep: boolean): void {
    if (--this.references[page]! > 0) return;
    if (keep) this.kept.add(page);
    else this.free(page);
  }

  /** Makes a kept page unused. */
  drop(page: number): void {
    if (this.kept.delete(page)) this.free(page);
  }

  private free(page: number): void {
    this.unused++;
    this.lowest = Math.min(this.lowest, page);
  }

  private takeUnused(): number {
    while (this.references[this.lowest]! > 0 || this.kept.has(this.lowest)) this.lowest++;
    this.unused--;
    return this.lowest;
  }

  private evictOldest(): number {
    const [page] = this.kept;
    this.kept.delete(page!);
    this.onEvict(page!);
    return page!;
  }
}
