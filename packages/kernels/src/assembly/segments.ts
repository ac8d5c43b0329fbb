import { powerOfTwo } from "./exp";
import { Task } from "./task";
import { MASKED } from "./weigh";

/**
 * The context is cut into segments at fixed positions, and the softmax of each begins anew: its state (`Task.output`,
 * `largest`, `sum`) is folded into that of the segments before it, one after the other. So threads can share a context out
 * and the result is the same to the bit, whoever saw which segments and whatever else was in the batch.
 *
 * The first segments have `SHORTEST` positions, later ones about a quarter of what lies before them: the number grows with the
 * logarithm of the context, and no segment is more than a fifth of it.
 */
const SHORTEST: i32 = 240;
/** Lengths are multiples of it: whole runs of cached rows. */
const UNIT: i32 = 120;

/** The position after the segment that begins at `start`. */
export function segmentEnd(start: i32): i32 {
  return start + max(SHORTEST, start / (4 * UNIT) * UNIT);
}

/** Where the segment begins that holds a position. */
export function segmentStart(position: i32): i32 {
  let start = 0;
  for (let end = segmentEnd(0); end <= position; end = segmentEnd(end)) start = end;
  return start;
}

/** Lets the task work on a later state (`by` 1) or an earlier one (-1). */
export function moveState(task: Task, by: i32): void {
  const rows = <usize>(by * task.stateRows);
  task.output += rows * <usize>task.valueWidth * 4;
  task.largest += rows * 4;
  task.sum += rows * 4;
}

/** Rows of the present state see nothing yet. */
export function clearState(task: Task, first: i32, count: i32): void {
  const bytes = <usize>task.valueWidth * 4;
  memory.fill(task.output + <usize>first * bytes, 0, <usize>count * bytes);
  memory.fill(task.sum + <usize>first * 4, 0, <usize>count * 4);
  for (let r = first; r < first + count; r++) store<f32>(task.largest + <usize>r * 4, MASKED);
}

/** Folds a row of the next state into that of the present one. `stateRows` rows lie between them. */
export function foldRow(output: usize, largest: usize, sum: usize, row: i32, stateRows: i32, width: i32): void {
  const at = <usize>row * 4;
  const next = <usize>(row + stateRows) * 4;
  const before = load<f32>(largest + at);
  const added = load<f32>(largest + next);
  if (added == MASKED) return;
  const most = max(before, added);
  const shareBefore = powerOfTwo(before - most);
  const shareAdded = powerOfTwo(added - most);
  const bytes = <usize>width * 4;
  const a = output + <usize>row * bytes;
  const b = output + <usize>(row + stateRows) * bytes;
  const left = f32x4.splat(shareBefore);
  const right = f32x4.splat(shareAdded);
  for (let i: usize = 0; i < bytes; i += 16) {
    v128.store(a + i, f32x4.add(f32x4.mul(v128.load(a + i), left), f32x4.mul(v128.load(b + i), right)));
  }
  store<f32>(largest + at, most);
  store<f32>(sum + at, load<f32>(sum + at) * shareBefore + load<f32>(sum + next) * shareAdded);
}
