/** The tokens of one page behind those of its ancestors. */
export interface PrefixNode {
  readonly parent: PrefixNode | undefined;
  readonly key: string;
  /** At most a page of token ids; fewer only where a sequence ended. */
  readonly tokens: Int32Array;
  /** By their tokens, which a `Map` finds by hash and compares whole: two prefixes are never taken for each other. */
  readonly children: Map<string, PrefixNode>;
  /** The page with the rows of these tokens; undefined once it was evicted. */
  page: number | undefined;
  /** Sequences whose last whole page this is. */
  users: number;
}

/** What a tree holds of the beginning of some tokens. */
export interface PrefixMatch {
  /** Pages in order; of the last one perhaps only some rows. */
  readonly pages: readonly number[];
  readonly length: number;
  /** The last page that is shared whole; the root if there is none. */
  readonly node: PrefixNode;
}

/**
 * Pages by the tokens they stand for. What a row of a cache holds depends on all tokens before it, so a page is found through
 * the pages before it: a tree of whole pages, whose leaves may be the unfinished last pages of sequences.
 */
export class PrefixTree {
  readonly root = makeNode(undefined, "", new Int32Array(0));
  private readonly byPage = new Map<number, PrefixNode>();

  constructor(private readonly pageTokens: number) {}

  /** Whether somebody could find the page. */
  has(page: number): boolean {
    return this.byPage.has(page);
  }

  /** The longest beginning of `tokens` whose rows are there. */
  match(tokens: Int32Array): PrefixMatch {
    const { pageTokens } = this;
    const pages: number[] = [];
    let node = this.root;
    let length = 0;
    for (;;) {
      const rest = tokens.subarray(length);
      const child =
        rest.length < pageTokens
          ? undefined
          : node.children.get(keyOf(rest.subarray(0, pageTokens)));
      if (child?.page === undefined) {
        const { page, common } = nearest(node, rest);
        if (page !== undefined) pages.push(page);
        return { pages, length: length + common, node };
      }
      pages.push(child.page);
      node = child;
      length += pageTokens;
    }
  }

  /** Enters a page under its tokens, unless another one stands for them; returns their node. */
  enter(parent: PrefixNode, tokens: Int32Array, page: number): PrefixNode {
    const key = keyOf(tokens);
    let node = parent.children.get(key);
    if (!node) {
      node = makeNode(parent, key, tokens.slice());
      parent.children.set(key, node);
    }
    if (node.page === undefined && !this.byPage.has(page)) {
      node.page = page;
      this.byPage.set(page, node);
    }
    return node;
  }

  /** Enters an unfinished page, unless what is there begins with its tokens anyway. */
  enterEnd(parent: PrefixNode, tokens: Int32Array, page: number): void {
    if (nearest(parent, tokens).common < tokens.length) this.enter(parent, tokens, page);
  }

  /** The rows of a page are about to change. */
  forget(page: number): void {
    const node = this.byPage.get(page);
    if (!node) return;
    this.byPage.delete(page);
    node.page = undefined;
    prune(node);
  }

  /** A sequence now stands on `node`. */
  hold(node: PrefixNode): void {
    node.users++;
  }

  /** A sequence no longer stands on `node`. */
  letGo(node: PrefixNode): void {
    node.users--;
    prune(node);
  }
}

function makeNode(parent: PrefixNode | undefined, key: string, tokens: Int32Array): PrefixNode {
  return { parent, key, tokens, children: new Map(), page: undefined, users: 0 };
}

function keyOf(tokens: Int32Array): string {
  return tokens.join();
}

/** The child that has most of the first tokens of `rest`. */
function nearest(node: PrefixNode, rest: Int32Array): { page: number | undefined; common: number } {
  let best: { page: number | undefined; common: number } = { page: undefined, common: 0 };
  for (const { page, tokens } of node.children.values()) {
    if (page === undefined) continue;
    let common = 0;
    while (common < tokens.length && common < rest.length && tokens[common] === rest[common]) {
      common++;
    }
    if (common > best.common) best = { page, common };
  }
  return best;
}

/** Removes nodes that lead nowhere. */
function prune(node: PrefixNode): void {
  const { parent, key, children, page, users } = node;
  if (!parent || page !== undefined || users > 0 || children.size > 0) return;
  parent.children.delete(key);
  prune(parent);
}
