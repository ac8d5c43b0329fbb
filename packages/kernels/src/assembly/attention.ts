import { attendByteRun, BYTE_RUN_BYTES, inBytes, widenRun } from "./byte-run";
import { CACHE_F32, cacheRowBytes, loadRows } from "./cache";
import { attendRun } from "./float-run";
import { MOST_CACHED, ROWS, RUN, Task } from "./task";
import { MASKED, powerOfTwo } from "./weigh";

/** Fewer rows where they are wide, so that all groups of heads find them in the second-level cache (256 KB). */
const RUN_NUMBERS: i32 = 65536;

/** Numbers of each plane that are converted per step if rows are not float32: 64 KB. */
const CONVERTED: i32 = 16384;

const SCORE_BYTES: usize = <usize>ROWS * RUN * 4;

/** Bytes that `attend` needs at `workspace`. */
export const ATTENTION_BYTES: usize = SCORE_BYTES + max<usize>(3 * <usize>CONVERTED * 4 + 64, BYTE_RUN_BYTES);

/**
 * Adds the visited keys and values to the state of the task's rows: block of query tokens by block, run of consecutive
 * rows in memory by run, group of heads by group (online softmax: Milakov & Gimelshein, arXiv 1805.02867).
 */
export function attend(task: Task, workspace: usize): void {
  const sliceHeads = min(ROWS, task.groupHeads);
  const blockTokens = ROWS / sliceHeads;
  const widest = max(task.strideA, max(task.strideB, task.valueStride));
  const inPlace = task.storageA == CACHE_F32 && task.storageB == CACHE_F32 && task.valueStorage == CACHE_F32;
  const mostRows = wholeTiles(inPlace ? max(12, RUN_NUMBERS / widest) : CONVERTED / widest);
  const scratchA = workspace + SCORE_BYTES;
  const scratchB = scratchA + <usize>CONVERTED * 4;
  const scratchValues = scratchB + <usize>CONVERTED * 4;
  const oneLatent = task.values == task.keysA && task.valueStride == task.strideA && task.widthA > 0;
  const bytes = inBytes(task);
  const oneSlice = task.heads == sliceHeads;
  for (let token = 0; token < task.tokens; token += blockTokens) {
    const tokens = min(blockTokens, task.tokens - token);
    const first = task.position + token;
    const end = min(task.keyEnd, first + tokens);
    let n = max(task.keyStart, first - task.window + 1);
    let rounded = false;
    while (n < end) {
      const count = runLength(task, n, min(mostRows, end - n));
      const slot = slotOf(task, n);
      let keysA: usize = 0;
      let keysB: usize = 0;
      let values: usize = 0;
      if (bytes) {
        widenRun(task, slot, count, scratchA);
      } else {
        if (task.widthA) keysA = rowsAt(task.keysA, task.storageA, task.strideA, slot, count, scratchA);
        if (task.widthB) keysB = rowsAt(task.keysB, task.storageB, task.strideB, slot, count, scratchB);
        values = oneLatent
          ? keysA
          : rowsAt(task.values, task.valueStorage, task.valueStride, slot, count, scratchValues);
      }
      for (let group = 0; group < task.groups; group++) {
        for (let head = 0; head < task.groupHeads; head += sliceHeads) {
          const heads = min(sliceHeads, task.groupHeads - head);
          const firstHead = group * task.groupHeads + head;
          if (bytes) {
            attendByteRun(task, group, firstHead, heads, token, tokens, n, count, workspace, scratchA, rounded);
          } else {
            attendRun(task, keysA, keysB, values, group, firstHead, heads, token, tokens, n, count, workspace);
          }
        }
      }
      rounded = oneSlice;
      n += count;
    }
  }
}

/** At most `MOST_CACHED` and `rows`: a multiple of 12, which all tiles divide, or fewer than 12. */
@inline
function wholeTiles(rows: i32): i32 {
  return rows < 12 ? rows : min(MOST_CACHED, rows - (rows % 12));
}

/** Address of `count` rows of a plane as float32: where they lie, or converted at `scratch`. */
@inline
function rowsAt(plane: usize, storage: i32, width: i32, slot: i32, count: i32, scratch: usize): usize {
  const rows = plane + <usize>slot * cacheRowBytes(storage, width);
  if (storage == CACHE_F32) return rows;
  loadRows(scratch, rows, storage, width, count);
  return scratch;
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
