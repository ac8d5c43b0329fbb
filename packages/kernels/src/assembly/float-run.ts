import { mix1, mix4 } from "./mix";
import { runLength, slotOf } from "./page-run";
import { areWorthPanels, packQueries, scoreByPanels } from "./panel-scores";
import { scoreTile1x4, scoreTile2x4, scoreTile3x3 } from "./scores";
import { rowIndex, RUN, Task } from "./task";
import { weigh } from "./weigh";

/**
 * A block of query tokens and some heads of one group meet `count` cached rows from position `n` on, which lie one after the
 * other at `rowsA`, `rowsB` and `rowsV`; or, `inPlace`, wherever their pages are. `packed`: the queries of these heads and tokens
 * were those of the run before.
 */
export function attendRun(
  task: Task,
  rowsA: usize,
  rowsB: usize,
  rowsV: usize,
  inPlace: bool,
  group: i32,
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
  const position = task.position + token;
  const keyOffset = <usize>(group / task.keyShare) * task.keyStep * 4;
  const valueOffset = <usize>(group / task.valueShare) * task.valueStep * 4;
  const planeA = (inPlace ? task.keysA : rowsA) + keyOffset;
  const planeB = inPlace ? task.keysB : rowsB;
  if (areWorthPanels(task, rows)) {
    if (!packed) packQueries(task, firstRow, heads, rows, scratch);
    scoreByPanels(task, planeA, planeB, inPlace, n, count, rows, scores, scratch);
  } else {
    // A tile may write up to three columns too many: the next piece comes after it, and behind the last all is masked.
    for (let c = 0; c < count;) {
      const length = inPlace ? runLength(task, n + c, count - c) : count;
      const slot = inPlace ? <usize>slotOf(task, n + c) : 0;
      const a = planeA + slot * <usize>task.strideA * 4;
      const b = planeB + slot * <usize>task.strideB * 4;
      score(task, a, b, firstRow, heads, rows, length, scores + <usize>c * 4);
      c += length;
    }
  }
  weigh(task, firstRow, heads, rows, position, n, count, scores, 0, 0);
  const planeV = (inPlace ? task.values : rowsV) + valueOffset;
  for (let c = 0; c < count;) {
    const length = inPlace ? runLength(task, n + c, count - c) : count;
    const slot = inPlace ? <usize>slotOf(task, n + c) : 0;
    mix(task, firstRow, heads, rows, length, planeV + slot * <usize>task.valueStride * 4, scores + <usize>c * 4);
    c += length;
  }
}

/** `scores[r, c] = scale * query_r . key_c` in units of ln 2; columns up to the next multiple of 4 are filled too. */
function score(
  task: Task,
  keysA: usize,
  keysB: usize,
  firstRow: i32,
  heads: i32,
  rows: i32,
  count: i32,
  scores: usize,
): void {
  const bytesA = <usize>task.strideA * 4;
  const bytesB = <usize>task.strideB * 4;
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
        const a = keysA + <usize>c * bytesA;
        const b = keysB + <usize>c * bytesB;
        scoreTile3x3(task, r0, r1, r2, a, b, count - c, to + <usize>c * 4);
      }
    }
    for (; r + 2 <= rows; r += 2) {
      const r0 = rowIndex(task, firstRow, heads, r);
      const r1 = rowIndex(task, firstRow, heads, r + 1);
      const to = scores + <usize>r * RUN * 4;
      for (let c = block; c < end; c += 4) {
        const a = keysA + <usize>c * bytesA;
        const b = keysB + <usize>c * bytesB;
        scoreTile2x4(task, r0, r1, a, b, count - c, to + <usize>c * 4);
      }
    }
    if (r < rows) {
      const r0 = rowIndex(task, firstRow, heads, r);
      const to = scores + <usize>r * RUN * 4;
      for (let c = block; c < end; c += 4) {
        const a = keysA + <usize>c * bytesA;
        const b = keysB + <usize>c * bytesB;
        scoreTile1x4(task, r0, a, b, count - c, to + <usize>c * 4);
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
  weights: usize,
): void {
  const bytes = <usize>task.valueWidth * 4;
  const stride = <usize>task.valueStride * 4;
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
