/** Query rows (heads of tokens) per step. */
export const ROWS: i32 = 64;
/** Most cached rows per step, which all tiles divide. */
export const MOST_CACHED: i32 = 120;
/** Numbers from the logits of one row of a step to those of the next; a tile may write one too many. */
export const RUN: i32 = 128;

/**
 * The attention of one sequence. The device writes these fields, 4 bytes each, in this order
 * (`cpu/attention-state.ts`).
 *
 * Heads come in `groups` of `groupHeads`. Group `j` takes its keys of part A at offset `floor(j / keyShare) * keyStep`
 * and its values at `floor(j / valueShare) * valueStep` numbers in each row; keys of part B serve all heads.
 *
 * A "row" is one head of one query token. Queries are `[tokens * heads, width]`, so row `token * heads + head` of every
 * per-row array belongs to it: `queryA`, `queryB`, `output` (`valueWidth` numbers each), `largest` and `sum` (one each).
 */
@unmanaged
export class Task {
  /** Logits are the sum of two products; a width of 0 leaves one out. Strides are numbers per row of a plane. */
  queryA: usize;
  keysA: usize;
  widthA: i32;
  strideA: i32;
  queryB: usize;
  keysB: usize;
  widthB: i32;
  strideB: i32;
  values: usize;
  valueStride: i32;
  /** A multiple of 8; what exceeds the true width holds neighbouring numbers and is ignored. */
  valueWidth: i32;
  /** Unnormalised mixture, largest logit so far (in units of ln 2) and sum of weights so far: the state of an online softmax. */
  output: usize;
  largest: usize;
  sum: usize;
  heads: i32;
  groups: i32;
  groupHeads: i32;
  keyShare: i32;
  keyStep: i32;
  valueShare: i32;
  valueStep: i32;
  firstToken: i32;
  tokens: i32;
  /** Position of the first token. */
  position: i32;
  window: i32;
  /** Page numbers (i32) of the rows from position `base` on; positions `keyStart … keyEnd - 1` are visited. */
  pages: usize;
  pageTokens: i32;
  base: i32;
  keyStart: i32;
  keyEnd: i32;
  scale: f32;
  /** Formats of the rows of each plane (`cache.ts`). */
  storageA: i32;
  storageB: i32;
  valueStorage: i32;
  /** Soft cap of the logits, in units of ln 2; 0 for none. */
  softCap: f32;
  /** Rows from one state to the next; 0: the task knows one state and no segments (`segments.ts`). */
  stateRows: i32;
  /** Every segment after the task's first goes to the second state and is folded into the first; else each goes to its own. */
  folds: bool;
}

/** Index in the per-row arrays of row `r` of a block of `heads` heads per token that begins at `firstRow`. */
@inline
export function rowIndex(task: Task, firstRow: i32, heads: i32, r: i32): usize {
  const token = r / heads;
  return <usize>(firstRow + token * task.heads + (r - token * heads));
}
