import { mix1, mix4 } from "./mix";
import { runLength, slotOf } from "./page-run";
import { areWorthPanels, packQueries, scoreByPanels } from "./panel-scores";
import { scoreTile1x4, scoreTile2x4, scoreTile3x3 } from "./scores";
import { rowIndex, RUN, Task } from "./task";
import { weigh } from "./weigh";

/**
 * A block of query tokens and some heads of one group meet `count` cached rows from position `n` on, which lie one after the
 * other from `keysA`, `keysB` and `values` on; or these are planes, and rows `inPlace`, wherever their pages are. Strides are in
 * bytes. `packed`: the queries of these heads and tokens were those of the run before.
 */
export function attendRun(
  task: Task,
  keysA: usize,
  strideA: usize,
  keysB: usize,
  values: usize,
  strideV: usize,
  inPlace: bool,
  firstHead: i32,
  heads: i32,
  token: i32,
  tokens: i32,
  n: i32,
  count: i32,
  scores: usize,
  scratch: usize,
  packed: bool,
): void {
  const rows = tokens * heads;
  const firstRow = (task.firstToken + token) * task.heads + firstHead;
  if (areWorthPanels(task, rows)) {
    if (!packed) packQueries(task, firstRow, heads, rows, scratch);
    scoreByPanels(task, keysA, strideA, keysB, inPlace, n, count, rows, scores, scratch);
  } else {
    const strideB = <usize>task.strideB * 4;
    // A tile may write up to three columns too many: the next piece comes after it, and behind the last all is masked.
    for (let c = 0; c < count;) {
      const length = inPlace ? runLength(task, n + c, count - c) : count;
      const slot = inPlace ? <usize>slotOf(task, n + c) : 0;
      const a = keysA + slot * strideA;
      const b = keysB + slot * strideB;
      score(task, a, strideA, b, strideB, firstRow, heads, rows, length, scores + <usize>c * 4);
      c += length;
    }
  }
  weigh(task, firstRow, heads, rows, task.position + token, n, count, scores, 0, 0);
  for (let c = 0; c < count;) {
    const length = inPlace ? runLength(task, n + c, count - c) : count;
    const slot = inPlace ? <usize>slotOf(task, n + c) : 0;
    mix(task, firstRow, heads, rows, length, values + slot * strideV, strideV, scores + <usize>c * 4);
    c += length;
  }
}

/** `scores[r, c] = scale * query_r . key_c` in units of ln 2; columns up to the next multiple of 4 are filled too. */
function score(
  task: Task,
  keysA: usize,
  strideA: usize,
  keysB: usize,
  strideB: usize,
  firstRow: i32,
  heads: i32,
  rows: i32,
  count: i32,
  scores: usize,
): void {
  // Blocks of keys small enough to stay in the first-level cache, which three and four divide.
  for (let block = 0; block < count; block += 12) {
    const end = min(count, block + 12);
    let r = 0;
    // Without fused instructions products need a register too, and 2x4 is faster.
    for (; ASC_FEATURE_RELAXED_SIMD && r + 3 <= rows && rows - r != 4; r += 3) {
      const r0 = rowIndex(task, firstRow, heads, r);
      const r1 = rowIndex(task, firstRow, heads, r + 1);
      const r2 = rowIndex(task, firstRow, heads, r + 2);
      const to = scores + <usize>r * RUN * 4;
      for (let c = block; c < end; c += 3) {
        const a = keysA + <usize>c * strideA;
        const b = keysB + <usize>c * strideB;
        scoreTile3x3(task, r0, r1, r2, a, strideA, b, count - c, to + <usize>c * 4);
      }
    }
    for (; r + 2 <= rows; r += 2) {
      const r0 = rowIndex(task, firstRow, heads, r);
      const r1 = rowIndex(task, firstRow, heads, r + 1);
      const to = scores + <usize>r * RUN * 4;
      for (let c = block; c < end; c += 4) {
        const a = keysA + <usize>c * strideA;
        const b = keysB + <usize>c * strideB;
        scoreTile2x4(task, r0, r1, a, strideA, b, count - c, to + <usize>c * 4);
      }
    }
    if (r < rows) {
      const r0 = rowIndex(task, firstRow, heads, r);
      const to = scores + <usize>r * RUN * 4;
      for (let c = block; c < end; c += 4) {
        const a = keysA + <usize>c * strideA;
        const b = keysB + <usize>c * strideB;
        scoreTile1x4(task, r0, a, strideA, b, count - c, to + <usize>c * 4);
      }
    }
  }
}

/** `output_r += sum_c weights[r, c] value_c` */
function mix(
  task: Task,
  firstRow: i32,
  heads: i32,
  rows: i32,
  count: i32,
  values: usize,
  stride: usize,
  weights: usize,
): void {
  const bytes = <usize>task.valueWidth * 4;
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    mix4(
      task.output + rowIndex(task, firstRow, heads, r) * bytes,
      task.output + rowIndex(task, firstRow, heads, r + 1) * bytes,
      task.output + rowIndex(task, firstRow, heads, r + 2) * bytes,
      task.output + rowIndex(task, firstRow, heads, r + 3) * bytes,
      weights + <usize>r * RUN * 4,
      values,
      stride,
      count,
      bytes,
    );
  }
  for (; r < rows; r++) {
    const output = task.output + rowIndex(task, firstRow, heads, r) * bytes;
    mix1(output, weights + <usize>r * RUN * 4, values, stride, count, bytes);
  }
}
