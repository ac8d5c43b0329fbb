import type { PageAllocator } from "./page-allocator";
import { LatentCacheError } from "./errors";

/** One sequence's page table. The rows themselves are written by the model through `Device.writePages`. */
export class CacheSequence {
  private table: number[] = [];
  private tokens = 0;
  private released = false;

  /** Made by `PagedCache.open`. */
  constructor(
    private readonly allocator: PageAllocator,
    private readonly pageTokens: number,
    private readonly onRelease: () => void,
  ) {}

  /** Tokens held. */
  get length(): number {
    return this.tokens;
  }

  /** Page numbers in order of position, for `AttentionSequence.pages`. */
  get pages(): Int32Array {
    return Int32Array.from(this.table);
  }

  /**
   * Makes room for `count` further tokens and returns their slots (`page * pageTokens + offset`). All or nothing.
   * Throws `CacheFull`, `SequenceReleased`.
   */
  append(count: number): Int32Array {
    this.assertOpen();
    const needed = Math.ceil((this.tokens + count) / this.pageTokens) - this.table.length;
    if (needed > 0) this.table.push(...this.allocator.take(needed));
    const slots = Int32Array.from({ length: count }, (_, index) => this.slot(this.tokens + index));
    this.tokens += count;
    return slots;
  }

  /** Forgets every token from position `length` on and gives whole pages back. */
  truncate(length: number): void {
    this.assertOpen();
    if (!Number.isSafeInteger(length) || length < 0 || length > this.tokens) {
      throw new LatentCacheError(
        "InvalidArgument",
        `Cannot truncate a sequence of ${this.tokens} tokens to ${length}.`,
        { length, tokens: this.tokens },
      );
    }
    this.tokens = length;
    this.allocator.give(this.table.splice(Math.ceil(length / this.pageTokens)));
  }

  /** Gives all pages back. The sequence cannot be used afterwards; releasing twice does nothing. */
  release(): void {
    if (this.released) return;
    this.truncate(0);
    this.released = true;
    this.onRelease();
  }

  private slot(position: number): number {
    const page = this.table[Math.floor(position / this.pageTokens)];
    return page * this.pageTokens + (position % this.pageTokens);
  }

  private assertOpen(): void {
    if (this.released) {
      throw new LatentCacheError("SequenceReleased", "This sequence was released; open a new one.");
    }
  }
}
