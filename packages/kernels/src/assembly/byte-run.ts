import { mixBytes1, mixBytes4, roundQuery, scoreBytes2x4, widenKeys, widenPairs } from "./bytes";
import { CACHE_I8 } from "./cache";
import { LOG2_E } from "./exp";
import { ROWS, rowIndex, RUN, Task } from "./task";
import { weigh } from "./weigh";

/** Most numbers of a plane in the cached rows of a step. */
const NUMBERS: i32 = 16384;
/** Most numbers of a key, of both parts together, each rounded up to a multiple of 8. */
const WIDEST: i32 = 1024;

const PLANE_BYTES: usize = <usize>NUMBERS * 2 + 64;
/** A row without partner takes the room of two. */
const PAIRS_BYTES: usize = <usize>NUMBERS * 4 + 64;
/** The widened planes, the scales of their rows, the units of queries and weights, and the queries. */
const KEYS_A: usize = 0;
const KEYS_B: usize = PLANE_BYTES;
const VALUES: usize = 2 * PLANE_BYTES;
const SCALES_A: usize = VALUES + PAIRS_BYTES;
const SCALES_B: usize = SCALES_A + RUN * 4;
const SCALES_VALUES: usize = SCALES_B + RUN * 4;
const UNITS_A: usize = SCALES_VALUES + RUN * 4 + 16;
const UNITS_B: usize = UNITS_A + ROWS * 4;
const UNITS_WEIGHTS: usize = UNITS_B + ROWS * 4;
const QUERIES: usize = UNITS_WEIGHTS + ROWS * 4;

/** Bytes that a run in bytes needs. */
export const BYTE_RUN_BYTES: usize = QUERIES + <usize>ROWS * WIDEST * 2 + 64;

/** Whether the rows of a task are bytes whose products fit 32 bits. */
export function inBytes(task: Task): bool {
  const width = roundUp(task.widthA) + roundUp(task.widthB);
  if (task.valueStorage != CACHE_I8 || width > WIDEST) return false;
  if (task.widthA && task.storageA != CACHE_I8) return false;
  return !task.widthB || task.storageB == CACHE_I8;
}

@inline
function roundUp(width: i32): i32 {
  return (width + 7) & ~7;
}

/** Widens `count` rows of bytes at `keysA`, `keysB` and `values`, once for all heads. */
export function widenRun(
  task: Task,
  keysA: usize,
  keysB: usize,
  values: usize,
  count: i32,
  scratch: usize,
): void {
  if (task.widthA) widenKeys(scratch + KEYS_A, scratch + SCALES_A, keysA, task.strideA, count);
  if (task.widthB) widenKeys(scratch + KEYS_B, scratch + SCALES_B, keysB, task.strideB, count);
  widenPairs(scratch + VALUES, scratch + SCALES_VALUES, values, task.valueStride, count);
}

/**
 * As `attendRun` of float-run.ts, over the rows that `widenRun` has placed. `rounded`: the queries of these heads and tokens
 * were those of the run before.
 */
export function attendByteRun(
  task: Task,
  group: i32,
  firstHead: i32,
  heads: i32,
  token: i32,
  tokens: i32,
  n: i32,
  count: i32,
  scores: usize,
  scratch: usize,
  rounded: bool,
): void {
  const rows = tokens * heads;
  const firstRow = (task.firstToken + token) * task.heads + firstHead;
  const queriesA = scratch + QUERIES;
  const queriesB = queriesA + <usize>ROWS * roundUp(task.widthA) * 2;
  const unitsA = scratch + UNITS_A;
  const unitsB = scratch + UNITS_B;
  if (!rounded) {
    roundQueries(task, task.queryA, task.widthA, firstRow, heads, rows, queriesA, unitsA);
    roundQueries(task, task.queryB, task.widthB, firstRow, heads, rows, queriesB, unitsB);
  }
  if (task.widthA) {
    const keys = scratch + KEYS_A + <usize>(group / task.keyShare) * task.keyStep * 2;
    const scales = scratch + SCALES_A;
    score(queriesA, unitsA, keys, scales, task.widthA, task.strideA, rows, count, scores, false);
  }
  if (task.widthB) {
    const keys = scratch + KEYS_B;
    const scales = scratch + SCALES_B;
    score(queriesB, unitsB, keys, scales, task.widthB, task.strideB, rows, count, scores, task.widthA > 0);
  }
  const first = task.position + token;
  weigh(task, firstRow, heads, rows, first, n, count, scores, scratch + SCALES_VALUES, scratch + UNITS_WEIGHTS);
  mix(task, group, firstRow, heads, rows, count, scores, scratch);
}

function roundQueries(
  task: Task,
  query: usize,
  width: i32,
  firstRow: i32,
  heads: i32,
  rows: i32,
  to: usize,
  units: usize,
): void {
  for (let r = 0; r < rows; r++) {
    const from = query + rowIndex(task, firstRow, heads, r) * <usize>width * 4;
    const unit = roundQuery(to + <usize>r * roundUp(width) * 2, from, width);
    store<f32>(units + <usize>r * 4, unit * task.scale * LOG2_E);
  }
}

/** `scores[r, c] (+)= scale * query_r . key_c` in units of ln 2, of one part. */
function score(
  queries: usize,
  units: usize,
  keys: usize,
  scales: usize,
  width: i32,
  stride: i32,
  rows: i32,
  count: i32,
  scores: usize,
  add: bool,
): void {
  const step = <usize>roundUp(width) * 2;
  for (let c = 0; c < count; c += 4) {
    let q = queries;
    let to = scores + <usize>c * 4;
    for (let r = 0; r < rows; r += 2) {
      // A last row without partner is its own partner.
      const pair: usize = r + 1 < rows ? 1 : 0;
      const unit0 = load<f32>(units + <usize>r * 4);
      const unit1 = load<f32>(units + (<usize>r + pair) * 4);
      const bytes = <usize>stride * 2;
      const next = pair * RUN * 4;
      scoreBytes2x4(q, q + pair * step, keys, bytes, count - c, width, scales, unit0, unit1, to, next, add);
      q += 2 * step;
      to += 2 * RUN * 4;
    }
    keys += <usize>stride * 8;
    scales += 16;
  }
}

/** `output_r += sum_c weights[r, c] value_c`, of rounded weights. */
function mix(
  task: Task,
  group: i32,
  firstRow: i32,
  heads: i32,
  rows: i32,
  count: i32,
  weights: usize,
  scratch: usize,
): void {
  const bytes = <usize>task.valueWidth * 4;
  const stride = <usize>task.valueStride * 4;
  const values = scratch + VALUES + <usize>(group / task.valueShare) * task.valueStep * 4;
  const units = scratch + UNITS_WEIGHTS;
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    mixBytes4(
      task.output + rowIndex(task, firstRow, heads, r) * bytes,
      task.output + rowIndex(task, firstRow, heads, r + 1) * bytes,
      task.output + rowIndex(task, firstRow, heads, r + 2) * bytes,
      task.output + rowIndex(task, firstRow, heads, r + 3) * bytes,
      weights + <usize>r * RUN * 4,
      units + <usize>r * 4,
      values,
      stride,
      count,
      bytes,
    );
  }
  for (; r < rows; r++) {
    const output = task.output + rowIndex(task, firstRow, heads, r) * bytes;
    const unit = load<f32>(units + <usize>r * 4);
    mixBytes1(output, weights + <usize>r * RUN * 4, unit, values, stride, count, bytes);
  }
}
