import type { PagePool } from "@transmla/kernels";

/** One sequence of a store: a page table. Its rows are written by the model, through the slots that `append` gives. */
export interface StoredSequence {
  /** Tokens held. */
  readonly length: number;
  /** Page numbers in order of position; valid until the sequence changes. */
  readonly pages: Int32Array;
  /** Makes room for tokens (ids, or only their number) and returns their slots, `page * pageTokens + offset`; all or nothing. */
  append(tokens: Int32Array | number): Int32Array;
  /** Forgets every token from position `length` on. */
  truncate(length: number): void;
  /** A second sequence with the same tokens, independent from here on. */
  fork(): StoredSequence;
  /** Gives the pages back. */
  release(): void;
}

/** What a model needs of a cache: small, so that another one can take its place. */
export interface SequenceStore {
  readonly pageTokens: number;
  /** The pools of one layer, in the order of its planes; a page number means the same tokens in all of them. */
  pool(layer: number): readonly PagePool[];
  /** A sequence with as many of the given tokens as the store still holds, from the first one on; empty without them. */
  open(prefix?: Int32Array): StoredSequence;
}
