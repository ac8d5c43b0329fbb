import { roundWeights } from "./bytes";
import { powerOfTwo, powerOfTwo4 } from "./exp";
import { softCap4 } from "./soft-cap";
import { rowIndex, RUN, Task } from "./task";

/** Below every logit. */
export const MASKED: f32 = -3e38;

/**
 * Turns logits, soft-capped where the task asks for it, into weights `2^(logit - largest)` and carries the state of every
 * row on. Unseen columns become 0. With `units`, weights times `scales` are rounded in the end, and what one is worth is
 * stored there for every row.
 */
export function weigh(
  task: Task,
  firstRow: i32,
  heads: i32,
  rows: i32,
  firstPosition: i32,
  n: i32,
  count: i32,
  scores: usize,
  scales: usize,
  units: usize,
): void {
  const padded = <usize>((count + 3) & ~3) * 4;
  if (task.softCap > 0) softCapRows(scores, rows, padded, task.softCap);
  for (let r = 0; r < rows; r++) {
    const s = scores + <usize>r * RUN * 4;
    const position = firstPosition + r / heads;
    const from = <usize>min(count, max(0, position - task.window + 1 - n)) * 4;
    const to = <usize>max(0, min(count, position + 1 - n)) * 4;
    if (from >= to) {
      memory.fill(s, 0, padded);
      if (units) store<f32>(units + <usize>r * 4, 0);
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
    if (units) store<f32>(units + <usize>r * 4, roundWeights(s, scales, padded));
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

/** Caps the logits of all rows, those that no query sees included: they are masked later. */
function softCapRows(scores: usize, rows: i32, bytes: usize, cap: f32): void {
  const caps = f32x4.splat(cap);
  const inverses = f32x4.splat(1 / cap);
  for (let r = 0; r < rows; r++) {
    const s = scores + <usize>r * RUN * 4;
    for (let i: usize = 0; i < bytes; i += 16) {
      v128.store(s + i, softCap4(v128.load(s + i), caps, inverses));
    }
  }
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
  const end = x + bytes;
  // Two at a time: engines join them to 256 bits.
  for (; x + 32 <= end; x += 32) {
    const e0 = powerOfTwo4(f32x4.sub(v128.load(x), shifts));
    const e1 = powerOfTwo4(f32x4.sub(v128.load(x, 16), shifts));
    v128.store(x, e0);
    v128.store(x, e1, 16);
    sums = f32x4.add(f32x4.add(sums, e0), e1);
  }
  if (x < end) {
    const e = powerOfTwo4(f32x4.sub(v128.load(x), shifts));
    v128.store(x, e);
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
