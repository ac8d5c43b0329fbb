import { LatentCacheError } from "./errors";
import type { PageAllocator } from "./page-allocator";
import type { PrefixNode, PrefixTree } from "./prefix-tree";
import type { StoredSequence } from "./store";

/** What the sequences of one cache share. */
export interface SequenceHost {
  readonly allocator: PageAllocator;
  readonly tree: PrefixTree;
  readonly pageTokens: number;
  /** Copies the first `rows` rows of a page, in every layer and plane. */
  copyPage(from: number, to: number, rows: number): void;
  /** Sequences that are not released. */
  readonly open: Set<CacheSequence>;
}

/** One sequence's page table. The rows themselves are written by the model through `Device.writePages`. */
export class CacheSequence implements StoredSequence {
  private table = new Int32Array(4);
  private tableLength = 0;
  private ids = new Int32Array(64);
  private tokens = 0;
  private released = false;
  /** The last whole page in the tree, `entered` pages from the root; undefined once tokens without ids came. */
  private node: PrefixNode | undefined;
  private entered = 0;

  /** Made by `PagedCache.open`: with pages to share and the ids of their tokens. */
  constructor(
    private readonly host: SequenceHost,
    shared: {
      readonly pages: ArrayLike<number>;
      readonly length: number;
      readonly ids: Int32Array;
      readonly node: PrefixNode | undefined;
      readonly entered: number;
    },
  ) {
    const { pages, length, ids, node, entered } = shared;
    for (const page of Array.from(pages)) {
      host.allocator.share(page);
      this.pushPage(page);
    }
    this.node = node;
    this.rememberIds(ids);
    this.tokens = length;
    this.entered = entered;
    if (node) host.tree.hold(node);
    host.open.add(this);
  }

  get length(): number {
    return this.tokens;
  }

  /** Page numbers in order of position, for `AttentionSequence.pages`; valid until the sequence changes. */
  get pages(): Int32Array {
    return this.table.subarray(0, this.tableLength);
  }

  /** Ids of the tokens, `[length]`. Throws `UnknownTokens` if some were appended by number only. */
  get tokenIds(): Int32Array {
    if (!this.node) {
      throw new LatentCacheError(
        "UnknownTokens",
        "Tokens were appended to this sequence without their ids.",
      );
    }
    return this.ids.subarray(0, this.tokens);
  }

  /** Whether other sequences hold the page that the next token goes to, so that `append` needs one more to copy it. */
  get sharesLastPage(): boolean {
    return this.lastRows > 0 && this.host.allocator.count(this.table[this.tableLength - 1]!) > 1;
  }

  /**
   * Makes room for further tokens and returns their slots (`page * pageTokens + offset`). All or nothing. Only tokens with ids
   * can be shared later, and only sequences that had no others before. Throws `CacheFull`, `SequenceReleased`.
   */
  append(tokens: Int32Array | number): Int32Array {
    this.assertOpen();
    this.enterWholePages();
    const count = typeof tokens === "number" ? tokens : tokens.length;
    const { allocator, pageTokens } = this.host;
    const needed = Math.ceil((this.tokens + count) / pageTokens) - this.tableLength;
    const copies = count > 0 && this.mustCopy(needed) ? 1 : 0;
    const pages = allocator.take(Math.max(0, needed) + copies);
    if (copies) this.replaceLastPage(pages.shift()!);
    for (const page of pages) this.pushPage(page);
    if (typeof tokens !== "number") this.rememberIds(tokens);
    else if (count > 0) this.leaveTree();
    const slots = Int32Array.from({ length: count }, (_, index) => this.slot(this.tokens + index));
    this.tokens += count;
    return slots;
  }

  /** Forgets every token from position `length` on. Throws `InvalidArgument`, `SequenceReleased`. */
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
    this.enterWholePages();
    this.stepBack(Math.floor(length / this.host.pageTokens));
    this.dropPages(Math.ceil(length / this.host.pageTokens));
  }

  /**
   * Drops `count` tokens from position `first` on, both whole pages, so that those behind move up: for windows that slide. What the
   * rows behind hold of their positions is the caller's to change, so they are made this sequence's own, copied where others
   * hold them. From here on its tokens have no ids. Throws `InvalidArgument`, `CacheFull`, `SequenceReleased`.
   */
  discard(first: number, count: number): void {
    this.assertOpen();
    const { pageTokens } = this.host;
    const inPages = first % pageTokens === 0 && count % pageTokens === 0;
    if (!inPages || first < 0 || count < 0 || first + count > this.tokens) {
      throw new LatentCacheError(
        "InvalidArgument",
        `Cannot discard ${count} tokens from ${first} on of ${this.tokens}: only whole pages of ${pageTokens}.`,
        { first, count, tokens: this.tokens, pageTokens },
      );
    }
    this.enterWholePages();
    const [begin, end] = [first / pageTokens, (first + count) / pageTokens];
    this.ownPagesFrom(end);
    this.leaveTree();
    for (let page = begin; page < end; page++) this.giveBack(this.table[page]!);
    this.table.copyWithin(begin, end, this.tableLength);
    this.tableLength -= end - begin;
    this.tokens -= count;
  }

  /** Pages that no other sequence holds. */
  get ownPages(): number {
    return this.pages.reduce(
      (sum, page) => sum + (this.host.allocator.count(page) === 1 ? 1 : 0),
      0,
    );
  }

  /** A second sequence with the same tokens: pages are shared until one of the two writes to them. */
  fork(): CacheSequence {
    this.assertOpen();
    this.enterWholePages();
    const { node, entered, pages, tokens: length } = this;
    const ids = this.ids.subarray(0, length);
    return new CacheSequence(this.host, { pages, length, ids, node, entered });
  }

  /** Gives all pages back; those whose tokens are known stay for others until their place is needed. Twice does nothing. */
  release(): void {
    if (this.released) return;
    this.enterWholePages();
    if (this.node && this.lastRows > 0) {
      const ids = this.ids.subarray(this.tokens - this.lastRows, this.tokens);
      this.host.tree.enterEnd(this.node, ids, this.table[this.tableLength - 1]!);
    }
    this.dropPages(0);
    this.leaveTree();
    this.released = true;
    this.host.open.delete(this);
  }

  /** Rows of an unfinished last page. */
  private get lastRows(): number {
    return this.tokens % this.host.pageTokens;
  }

  /** Whether the unfinished page gets a copy before it is written to: where others hold it, or might find it. */
  private mustCopy(needed: number): boolean {
    if (this.lastRows === 0) return false;
    const { allocator, tree } = this.host;
    const page = this.table[this.tableLength - 1]!;
    if (allocator.count(page) > 1) return true;
    if (!tree.has(page)) return false;
    if (allocator.available > needed) return true;
    tree.forget(page);
    return false;
  }

  /** Makes pages from number `first` on such that writing to them is nobody else's business; all or nothing. */
  private ownPagesFrom(first: number): void {
    const { allocator, tree, pageTokens } = this.host;
    const shared = Array.from(this.pages.subarray(first)).filter(
      (page) => allocator.count(page) > 1,
    );
    const copies = allocator.take(shared.length);
    for (let index = first; index < this.tableLength; index++) {
      const page = this.table[index]!;
      if (allocator.count(page) > 1) {
        const copy = copies.shift()!;
        this.host.copyPage(page, copy, Math.min(pageTokens, this.tokens - index * pageTokens));
        this.table[index] = copy;
        this.giveBack(page);
      } else tree.forget(page);
    }
  }

  private replaceLastPage(page: number): void {
    const last = this.tableLength - 1;
    const old = this.table[last]!;
    this.host.copyPage(old, page, this.lastRows);
    this.table[last] = page;
    this.giveBack(old);
  }

  /** Pages enter the tree when the next operation shows that their rows were written: a failed step truncates first. */
  private enterWholePages(): void {
    if (!this.node) return;
    const { tree, pageTokens } = this.host;
    for (; (this.entered + 1) * pageTokens <= this.tokens; this.entered++) {
      const at = this.entered * pageTokens;
      const ids = this.ids.subarray(at, at + pageTokens);
      this.standOn(tree.enter(this.node, ids, this.table[this.entered]!));
    }
  }

  /** Back to the node of the first `pages` pages. */
  private stepBack(pages: number): void {
    if (!this.node) return;
    for (; this.entered > pages; this.entered--) this.standOn(this.node.parent!);
  }

  private standOn(node: PrefixNode): void {
    const { tree } = this.host;
    const before = this.node!;
    tree.hold(node);
    this.node = node;
    tree.letGo(before);
  }

  private leaveTree(): void {
    if (this.node) this.host.tree.letGo(this.node);
    this.node = undefined;
  }

  /** Gives pages from number `count` on back, the last one first: what is evicted first then has nothing behind it. */
  private dropPages(count: number): void {
    while (this.tableLength > count) this.giveBack(this.table[--this.tableLength]!);
  }

  private giveBack(page: number): void {
    this.host.allocator.give(page, this.host.tree.has(page));
  }

  private pushPage(page: number): void {
    if (this.tableLength === this.table.length) this.table = doubled(this.table, 1);
    this.table[this.tableLength++] = page;
  }

  private rememberIds(ids: Int32Array): void {
    if (!this.node) return;
    if (this.tokens + ids.length > this.ids.length) this.ids = doubled(this.ids, ids.length);
    this.ids.set(ids, this.tokens);
  }

  private slot(position: number): number {
    const { pageTokens } = this.host;
    return this.table[Math.floor(position / pageTokens)]! * pageTokens + (position % pageTokens);
  }

  private assertOpen(): void {
    if (this.released) {
      throw new LatentCacheError("SequenceReleased", "This sequence was released; open a new one.");
    }
  }
}

/** A copy with room for at least `more` further numbers. */
function doubled(numbers: Int32Array, more: number): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(2 * numbers.length + more);
  grown.set(numbers);
  return grown;
}
