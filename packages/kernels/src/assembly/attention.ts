import { CACHE_F32, cacheRowBytes, loadRows } from "./cache";
import { powerOfTwo4 } from "./exp";
import { mix1, mix4 } from "./mix";
import { scoreTile1x4, scoreTile2x4 } from "./scores";
import { Task } from "./task";

/** Query rows (heads of tokens) per step. */
const ROWS: i32 = 64;
/** Most cached rows per step: logits of a step take `ROWS x RUN` numbers (32 KB). */
export const RUN: i32 = 128;
/** Fewer rows where they are wide, so that all groups of heads find them in the second-level cache (256 KB). */
const RUN_NUMBERS: i32 = 65536;

/** Numbers of each plane that are converted per step if rows are not float32: 64 KB. */
const CONVERTED: i32 = 16384;

/** Below every logit; its exponential is exactly 0. */
const MASKED: f32 = -3e38;

const SCORE_BYTES: usize = <usize>ROWS * RUN * 4;

/** Bytes that `attend` needs at `workspace`. */
export const ATTENTION_BYTES: usize = SCORE_BYTES + 3 * <usize>CONVERTED * 4 + 64;

/**
 * Adds the visited keys and values to the state of the task's rows: block of query tokens by block, run of consecutive
 * rows in memory by run, group of heads by group (online softmax: Milakov & Gimelshein, arXiv 1805.02867).
 */
export function attend(task: Task, workspace: usize): void {
  const sliceHeads = min(ROWS, task.groupHeads);
  const blockTokens = ROWS / sliceHeads;
  const widest = max(task.strideA, max(task.strideB, task.valueStride));
  const inPlace = task.storageA == CACHE_F32 && task.storageB == CACHE_F32 && task.valueStorage == CACHE_F32;
  const mostRows = inPlace ? max(8, min(RUN, RUN_NUMBERS / widest)) : min(RUN, CONVERTED / widest);
  const scratchA = workspace + SCORE_BYTES;
  const scratchB = scratchA + <usize>CONVERTED * 4;
  const scratchValues = scratchB + <usize>CONVERTED * 4;
  const oneLatent = task.values == task.keysA && task.valueStride == task.strideA && task.widthA > 0;
  for (let token = 0; token < task.tokens; token += blockTokens) {
    const tokens = min(blockTokens, task.tokens - token);
    const first = task.position + token;
    const end = min(task.keyEnd, first + tokens);
    let n = max(task.keyStart, first - task.window + 1);
    while (n < end) {
      const count = runLength(task, n, min(mostRows, end - n));
      const slot = slotOf(task, n);
      const keysA = task.widthA ? rowsAt(task.keysA, task.storageA, task.strideA, slot, count, scratchA) : 0;
      const keysB = task.widthB ? rowsAt(task.keysB, task.storageB, task.strideB, slot, count, scratchB) : 0;
      const values = oneLatent
        ? keysA
        : rowsAt(task.values, task.valueStorage, task.valueStride, slot, count, scratchValues);
      for (let group = 0; group < task.groups; group++) {
        for (let head = 0; head < task.groupHeads; head += sliceHeads) {
          const heads = min(sliceHeads, task.groupHeads - head);
          const firstHead = group * task.groupHeads + head;
          attendRun(task, keysA, keysB, values, group, firstHead, heads, token, tokens, n, count, workspace);
        }
      }
      n += count;
    }
  }
}

/** Address of `count` rows of a plane as float32: where they lie, or converted at `scratch`. */
@inline
function rowsAt(plane: usize, storage: i32, width: i32, slot: i32, count: i32, scratch: usize): usize {
  const rows = plane + <usize>slot * cacheRowBytes(storage, width);
  if (storage == CACHE_F32) return rows;
  loadRows(scratch, rows, storage, width, count);
  return scratch;
}

/**
 * A block of query tokens and some heads of one group meet `count` cached rows from position `n` on, which lie at
 * `rowsA`, `rowsB` and `rowsV`.
 */
function attendRun(
  task: Task,
  rowsA: usize,
  rowsB: usize,
  rowsV: usize,
  group: i32,
  firstHead: i32,
  heads: i32,
  token: i32,
  tokens: i32,
  n: i32,
  count: i32,
  scores: usize,
): void {
  const rows = tokens * heads;
  const firstRow = (task.firstToken + token) * task.heads + firstHead;
  const keys = rowsA + <usize>(group / task.keyShare) * task.keyStep * 4;
  score(task, keys, rowsB, firstRow, heads, rows, count, scores);
  weigh(task, firstRow, heads, rows, task.position + token, n, count, scores);
  const values = rowsV + <usize>(group / task.valueShare) * task.valueStep * 4;
  mix(task, firstRow, heads, rows, count, values, scores);
}

@inline
function slotOf(task: Task, n: i32): i32 {
  const local = n - task.base;
  const page = load<i32>(task.pages + <usize>(local / task.pageTokens) * 4);
  return page * task.pageTokens + (local % task.pageTokens);
}

/** How many of `limit` rows from position `n` on lie one after the other in memory: neighbouring pages count as one. */
function runLength(task: Task, n: i32, limit: i32): i32 {
  const local = n - task.base;
  let entry = task.pages + <usize>(local / task.pageTokens) * 4;
  let count = task.pageTokens - (local % task.pageTokens);
  while (count < limit && load<i32>(entry, 4) == load<i32>(entry) + 1) {
    count += task.pageTokens;
    entry += 4;
  }
  return min(count, limit);
}

/** Index in the per-row arrays of row `r` of a block of `heads` heads per token that begins at `firstRow`. */
@inline
function rowIndex(task: Task, firstRow: i32, heads: i32, r: i32): usize {
  const token = r / heads;
  return <usize>(firstRow + token * task.heads + (r - token * heads));
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
  const stepA = <usize>task.strideA * 16;
  const stepB = <usize>task.strideB * 16;
  for (let c = 0; c < count; c += 4) {
    let to = scores + <usize>c * 4;
    let r = 0;
    for (; r + 2 <= rows; r += 2) {
      const r0 = rowIndex(task, firstRow, heads, r);
      const r1 = rowIndex(task, firstRow, heads, r + 1);
      scoreTile2x4(task, r0, r1, keysA, keysB, count - c, to);
      to += 2 * RUN * 4;
    }
    for (; r < rows; r++) {
      scoreTile1x4(task, rowIndex(task, firstRow, heads, r), keysA, keysB, count - c, to);
      to += RUN * 4;
    }
    keysA += stepA;
    keysB += stepB;
  }
}

/** Turns logits into weights `2^(logit - largest)` and carries the state of every row on. Unseen columns become 0. */
function weigh(
  task: Task,
  firstRow: i32,
  heads: i32,
  rows: i32,
  firstPosition: i32,
  n: i32,
  count: i32,
  scores: usize,
): void {
  const padded = <usize>((count + 3) & ~3) * 4;
  for (let r = 0; r < rows; r++) {
    const s = scores + <usize>r * RUN * 4;
    const position = firstPosition + r / heads;
    const from = <usize>min(count, max(0, position - task.window + 1 - n)) * 4;
    const to = <usize>max(0, min(count, position + 1 - n)) * 4;
    if (from >= to) {
      memory.fill(s, 0, padded);
      continue;
    }
    for (let i: usize = 0; i < from; i += 4) store<f32>(s + i, MASKED);
    for (let i = to; i < padded; i += 4) store<f32>(s + i, MASKED);

    const row = rowIndex(task, firstRow, heads, r);
    const before = load<f32>(task.largest + row * 4);
    const largest = max(before, largestOf(s, padded));
    let sum = powersOfTwo(s, padded, largest);
    // A masked logit leaves 2^-126.
    for (let i: usize = 0; i < from; i += 4) store<f32>(s + i, 0);
    for (let i = to; i < padded; i += 4) store<f32>(s + i, 0);
    if (before != largest) {
      const shrink = powerOfTwo(before - largest);
      const bytes = <usize>task.valueWidth * 4;
      multiply(task.output + row * bytes, shrink, bytes);
      sum += load<f32>(task.sum + row * 4) * shrink;
      store<f32>(task.largest + row * 4, largest);
    } else {
      sum += load<f32>(task.sum + row * 4);
    }
    store<f32>(task.sum + row * 4, sum);
  }
}

@inline
function powerOfTwo(x: f32): f32 {
  return f32x4.extract_lane(powerOfTwo4(f32x4.splat(x)), 0);
}

function largestOf(x: usize, bytes: usize): f32 {
  let m = v128.load(x);
  for (let i: usize = 16; i < bytes; i += 16) m = f32x4.pmax(m, v128.load(x + i));
  m = f32x4.pmax(m, v128.shuffle<f32>(m, m, 2, 3, 0, 1));
  return max(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1));
}

/** `x = 2^(x - shift)`; returns the sum. */
function powersOfTwo(x: usize, bytes: usize, shift: f32): f32 {
  const shifts = f32x4.splat(shift);
  let sums = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    const e = powerOfTwo4(f32x4.sub(v128.load(x + i), shifts));
    v128.store(x + i, e);
    sums = f32x4.add(sums, e);
  }
  const pairs = f32x4.add(sums, v128.shuffle<f32>(sums, sums, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}

function multiply(x: usize, factor: f32, bytes: usize): void {
  const factors = f32x4.splat(factor);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(x + i, f32x4.mul(v128.load(x + i), factors));
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

/**
 * Joins the states of `pieces` parts of the context, each of `rows` rows: with `m = max_p largest_p` and
 * `f_p = 2^(largest_p - m)`, `to = sum_p f_p from_p / sum_p f_p sum_p`. `from` has rows of `padded` numbers, `to` of
 * `width`; rows that saw nothing are zero. Rows `first … first + count - 1` are made.
 */
export function joinStates(
  to: usize,
  from: usize,
  largest: usize,
  sum: usize,
  pieces: i32,
  rows: i32,
  first: i32,
  count: i32,
  width: i32,
  padded: i32,
): void {
  for (let r = first; r < first + count; r++) {
    let most = MASKED;
    for (let p = 0; p < pieces; p++) most = max(most, load<f32>(largest + <usize>(p * rows + r) * 4));
    let total: f32 = 0;
    for (let p = 0; p < pieces; p++) {
      total += shareOf(largest, most, p * rows + r) * load<f32>(sum + <usize>(p * rows + r) * 4);
    }
    const inverse: f32 = total > 0 ? 1 / total : 0;
    const target = to + <usize>r * width * 4;
    for (let p = 0; p < pieces; p++) {
      const row = p * rows + r;
      const factor = shareOf(largest, most, row) * inverse;
      addRow(target, from + <usize>row * padded * 4, factor, <usize>width * 4, p > 0);
    }
  }
}

@inline
function shareOf(largest: usize, most: f32, row: i32): f32 {
  return powerOfTwo(load<f32>(largest + <usize>row * 4) - most);
}

/** `to (+)= factor * from`, in `bytes`. */
function addRow(to: usize, from: usize, factor: f32, bytes: usize, add: bool): void {
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const scaled = f32x4.mul(v128.load(from + i), factors);
    v128.store(to + i, add ? f32x4.add(v128.load(to + i), scaled) : scaled);
  }
  for (; i < bytes; i += 4) {
    const scaled = load<f32>(from + i) * factor;
    store<f32>(to + i, add ? load<f32>(to + i) + scaled : scaled);
  }
}
