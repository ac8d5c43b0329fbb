import { attendByteRun, BYTE_RUN_BYTES, inBytes, widenRun } from "./byte-run";
import { CACHE_F32, CACHE_I8, cacheRowBytes, loadSlices } from "./cache";
import { attendRun } from "./float-run";
import { runLength, slotOf } from "./page-run";
import { PANEL_SCORES_BYTES } from "./panel-scores";
import { clearState, foldRow, moveState, segmentEnd, segmentStart } from "./segments";
import { MOST_CACHED, ROWS, RUN, Task } from "./task";

/** Fewer rows where they are wide, so that all groups of heads find them in the second-level cache (256 KB). */
const RUN_NUMBERS: i32 = 65536;

/** Numbers of each plane that are copied or converted per step: 64 KB. */
const CONVERTED: i32 = 16384;
const SLICE_BYTES: usize = <usize>CONVERTED * 4;

/** Query rows that are worth copying slices of cached rows for. */
const MANY_ROWS: i32 = 16;

/** Rows of bytes that lie apart are gathered there, plane by plane: a byte per number, and scale and padding of every row. */
const GATHERED: usize = <usize>CONVERTED + <usize>RUN * 8;
const SCORE_BYTES: usize = <usize>ROWS * RUN * 4;
const SCRATCH_BYTES: usize = max<usize>(3 * SLICE_BYTES + 64, BYTE_RUN_BYTES);

/** Bytes that `attend` needs at `workspace`. */
export const ATTENTION_BYTES: usize = SCORE_BYTES + SCRATCH_BYTES + 3 * GATHERED + PANEL_SCORES_BYTES;

/**
 * Adds the visited keys and values to the state of the task's rows: block of query tokens by block, segment of the context by
 * segment, run of cached rows by run, group of heads by group (online softmax: Milakov & Gimelshein, arXiv 1805.02867). Runs
 * begin at fixed positions of a segment, whatever pages their rows lie on.
 */
export function attend(task: Task, workspace: usize): void {
  const sliceHeads = min(ROWS, task.groupHeads);
  const blockTokens = ROWS / sliceHeads;
  for (let token = 0; token < task.tokens; token += blockTokens) {
    const tokens = min(blockTokens, task.tokens - token);
    const position = task.position + token;
    const end = min(task.keyEnd, position + tokens);
    const seen = max(task.keyStart, position - task.window + 1);
    if (!task.stateRows) {
      attendSegment(task, sliceHeads, token, tokens, task.base, seen, end, false, workspace);
      continue;
    }
    const firstRow = (task.firstToken + token) * task.heads;
    const rows = tokens * task.heads;
    let state = 0;
    for (let start = segmentStart(task.keyStart); start < end; start = segmentEnd(start)) {
      const stop = min(end, segmentEnd(start));
      if (stop > seen) {
        const fold = state > 0 && task.folds;
        if (fold) {
          moveState(task, 1);
          clearState(task, firstRow, rows);
        }
        attendSegment(task, sliceHeads, token, tokens, start, seen, stop, state > 0, workspace);
        if (fold) {
          moveState(task, -1);
          for (let r = firstRow; r < firstRow + rows; r++) {
            foldRow(task.output, task.largest, task.sum, r, task.stateRows, task.valueWidth);
          }
        }
        state++;
      }
      if (!task.folds && segmentEnd(start) < end) moveState(task, 1);
    }
    // Back to the first state, for the tokens that follow.
    if (!task.folds) {
      for (let start = segmentStart(task.keyStart); segmentEnd(start) < end; start = segmentEnd(start)) {
        moveState(task, -1);
      }
    }
  }
}

/**
 * Positions `seen … end - 1` of the segment that begins at `start`, for `tokens` query tokens from `token` on. `prepared`: the
 * queries of these tokens were rounded or packed already.
 */
function attendSegment(
  task: Task,
  sliceHeads: i32,
  token: i32,
  tokens: i32,
  start: i32,
  seen: i32,
  end: i32,
  prepared: bool,
  workspace: usize,
): void {
  const bytes = inBytes(task);
  const floats = inFloats(task);
  const copies = !bytes && (!floats || areWorthCopying(task, tokens * sliceHeads));
  const fetches = !bytes && areWorthFetching(task, tokens * sliceHeads);
  const mostRows = mostRowsOf(task, bytes, floats);
  const oneSlice = task.heads == sliceHeads;
  prepared = prepared && oneSlice;
  const scratch = workspace + SCORE_BYTES;
  // Four rows share the lanes of a sum: masked ones before the first that is seen keep the others in their lanes.
  let n = start + (max(0, seen - start) & ~3);
  while (n < end) {
    const left = mostRows - ((n - start) % mostRows);
    const count = min(left, end - n);
    if (bytes) placeBytes(task, n, count, scratch);
    if (fetches) fetchRun(task, n, count, scratch);
    for (let group = 0; group < task.groups; group++) {
      if (copies) copyGroup(task, group, n, count, scratch);
      for (let head = 0; head < task.groupHeads; head += sliceHeads) {
        const heads = min(sliceHeads, task.groupHeads - head);
        const firstHead = group * task.groupHeads + head;
        if (bytes) {
          attendByteRun(task, group, firstHead, heads, token, tokens, n, count, workspace, scratch, prepared);
        } else {
          attendFloats(task, group, firstHead, heads, token, tokens, n, count, workspace, copies, prepared);
        }
      }
    }
    prepared = oneSlice;
    n += count;
  }
}

/** `attendRun` over rows where they lie, or over the slices that `copyGroup` has made. */
function attendFloats(
  task: Task,
  group: i32,
  firstHead: i32,
  heads: i32,
  token: i32,
  tokens: i32,
  n: i32,
  count: i32,
  workspace: usize,
  copied: bool,
  prepared: bool,
): void {
  const slices = workspace + SCORE_BYTES;
  const panels = slices + SCRATCH_BYTES + 3 * GATHERED;
  let keysA = slices;
  let keysB = slices + SLICE_BYTES;
  let values = isOneLatent(task) ? slices : slices + 2 * SLICE_BYTES;
  let strideA = task.widthA;
  let strideV = isOneLatent(task) ? task.widthA : task.valueWidth;
  if (!copied) {
    keysA = task.keysA + keyOffset(task, group) * 4;
    keysB = task.keysB;
    values = task.values + valueOffset(task, group) * 4;
    strideA = task.strideA;
    strideV = task.valueStride;
  }
  const a = <usize>strideA * 4;
  const v = <usize>strideV * 4;
  attendRun(task, keysA, a, keysB, values, v, !copied, firstHead, heads, token, tokens, n, count, workspace, panels, prepared);
}

/** Whether all rows are float32. */
function inFloats(task: Task): bool {
  return task.storageA == CACHE_F32 && task.storageB == CACHE_F32 && task.valueStorage == CACHE_F32;
}

/** Whether rows of the first part are values too. */
function isOneLatent(task: Task): bool {
  return task.values == task.keysA && task.valueStride == task.strideA && task.widthA > 0;
}

/** Where a group's keys begin in a row, and its values. */
@inline
function keyOffset(task: Task, group: i32): usize {
  return <usize>(group / task.keyShare) * task.keyStep;
}

@inline
function valueOffset(task: Task, group: i32): usize {
  return <usize>(group / task.valueShare) * task.valueStep;
}

/** Whether float32 rows are copied slice by slice for `rows` queries: slices of long rows lie so far apart that caches lose them. */
function areWorthCopying(task: Task, rows: i32): bool {
  return task.groups > 1 && rows >= MANY_ROWS && widestSlice(task) <= CONVERTED;
}

/** Whether rows are fetched before groups take their slices, for `rows` queries. */
function areWorthFetching(task: Task, rows: i32): bool {
  return task.groups > 1 && rows < MANY_ROWS;
}

/** Numbers of the widest slice of a row that a head takes. */
@inline
function widestSlice(task: Task): i32 {
  return max(task.widthA, max(task.widthB, task.valueWidth));
}

/** Cached rows of a run. The same for all numbers of queries, so that the bits are. */
function mostRowsOf(task: Task, bytes: bool, floats: bool): i32 {
  const widest = max(task.strideA, max(task.strideB, task.valueStride));
  if (bytes) return wholeTiles(CONVERTED / widest);
  const near = max(24, RUN_NUMBERS / widest);
  if (floats && task.groups == 1) return wholeTiles(near);
  return wholeTiles(min(near, max(1, CONVERTED / widestSlice(task))));
}

/** At most `MOST_CACHED` and `rows`: a multiple of 12, which all tiles divide, or fewer than 12. */
@inline
function wholeTiles(rows: i32): i32 {
  return rows < 12 ? rows : min(MOST_CACHED, rows - (rows % 12));
}

/** Copies what a group sees of a run to `scratch`, unless the group before it sees the same. */
function copyGroup(task: Task, group: i32, n: i32, count: i32, scratch: usize): void {
  if (task.widthA && group % task.keyShare == 0) {
    copySlices(task, task.keysA, task.storageA, task.strideA, keyOffset(task, group), task.widthA, n, count, scratch);
  }
  if (task.widthB && group == 0) {
    copySlices(task, task.keysB, task.storageB, task.strideB, 0, task.widthB, n, count, scratch + SLICE_BYTES);
  }
  if (isOneLatent(task) || group % task.valueShare != 0) return;
  const first = valueOffset(task, group);
  const to = scratch + 2 * SLICE_BYTES;
  copySlices(task, task.values, task.valueStorage, task.valueStride, first, task.valueWidth, n, count, to);
}

/** Numbers `first … first + slice - 1` of `count` rows of a plane from position `n` on, as float32 at `to`. */
function copySlices(
  task: Task,
  plane: usize,
  storage: i32,
  width: i32,
  first: usize,
  slice: i32,
  n: i32,
  count: i32,
  to: usize,
): void {
  const bytes = cacheRowBytes(storage, width);
  for (let c = 0; c < count;) {
    const length = runLength(task, n + c, count - c);
    const from = plane + <usize>slotOf(task, n + c) * bytes;
    loadSlices(to + <usize>c * slice * 4, from, storage, width, first, slice, length);
    c += length;
  }
}

/** Fetches the rows of a run whose slices groups take one after the other. */
function fetchRun(task: Task, n: i32, count: i32, scratch: usize): void {
  fetchRows(task, task.keysA, task.storageA, task.strideA, n, count, scratch);
  fetchRows(task, task.values, task.valueStorage, task.valueStride, n, count, scratch);
}

/**
 * Reads a byte of every cache line of `count` rows, in the order of memory, which the processor reads ahead; of slices, a row apart from
 * each other, it does not. Their sum goes to `scratch`, so that nobody takes the loads away.
 */
function fetchRows(task: Task, plane: usize, storage: i32, width: i32, n: i32, count: i32, scratch: usize): void {
  const bytes = cacheRowBytes(storage, width);
  let sum = 0;
  for (let c = 0; c < count;) {
    const length = runLength(task, n + c, count - c);
    const from = plane + <usize>slotOf(task, n + c) * bytes;
    for (let at = from; at < from + <usize>length * bytes; at += 64) sum += load<u8>(at);
    c += length;
  }
  store<i32>(scratch, sum);
}

/** Widens the bytes of a run at `scratch`, once for all groups. */
function placeBytes(task: Task, n: i32, count: i32, scratch: usize): void {
  const gathered = scratch + SCRATCH_BYTES;
  const keysA = task.widthA ? bytesAt(task, task.keysA, task.strideA, n, count, gathered) : 0;
  const keysB = task.widthB ? bytesAt(task, task.keysB, task.strideB, n, count, gathered + GATHERED) : 0;
  const values = bytesAt(task, task.values, task.valueStride, n, count, gathered + 2 * GATHERED);
  widenRun(task, keysA, keysB, values, count, scratch);
}

/** Address of `count` rows of bytes from position `n` on: where they lie, or gathered at `scratch` if they lie apart. */
function bytesAt(task: Task, plane: usize, width: i32, n: i32, count: i32, scratch: usize): usize {
  const bytes = cacheRowBytes(CACHE_I8, width);
  if (runLength(task, n, count) == count) return plane + <usize>slotOf(task, n) * bytes;
  for (let c = 0; c < count;) {
    const length = runLength(task, n + c, count - c);
    const from = plane + <usize>slotOf(task, n + c) * bytes;
    memory.copy(scratch + <usize>c * bytes, from, <usize>length * bytes);
    c += length;
  }
  return scratch;
}

/**
 * Folds the states of `pieces` parts of the context, each of `rows` rows, in order, and divides by the sums of weights. `from` has
 * rows of `padded` numbers, `to` of `width`; rows that saw nothing are zero. Rows `first … first + count - 1` are made.
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
    for (let p = 1; p < pieces; p++) foldRow(from, largest, sum, r, p * rows, padded);
    const total = load<f32>(sum + <usize>r * 4);
    const inverse: f32 = total > 0 ? 1 / total : 0;
    scaleRow(to + <usize>r * width * 4, from + <usize>r * padded * 4, inverse, <usize>width * 4);
  }
}

/** `to = factor * from`, in `bytes`. */
function scaleRow(to: usize, from: usize, factor: f32, bytes: usize): void {
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(to + i, f32x4.mul(v128.load(from + i), factors));
  for (; i < bytes; i += 4) store<f32>(to + i, load<f32>(from + i) * factor);
}
