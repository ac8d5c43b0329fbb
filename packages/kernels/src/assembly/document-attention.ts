import { madd } from "./madd";
import { exp4, sum4 } from "./exp";
import { panelBytes } from "./panels";
import { packPanels, packTransposedPanels, product } from "./product";
import { softCap4 } from "./soft-cap";
import { F32 } from "./storages";

/** Query rows per step: their logits against all rows before them are in memory at once. */
const BLOCK: i32 = 64;
/** What takes no part in a softmax: its exponential is 0. */
const MASKED: f32 = -1e30;

/**
 * Attention of documents and its gradients, one head of one document at a time, as products of small matrices. The device
 * writes these fields, 4 bytes each, in this order (`cpu/document-attention.ts`).
 *
 * Queries and outputs are `[tokens, heads * width]`, keys and values `[tokens, keyHeads * width]`; gradients of keys and
 * values have a place for every head, `[tokens, heads * width]`, which `sumHeads` adds up.
 */
@unmanaged
export class DocumentTask {
  queryA: usize;
  keyA: usize;
  widthA: i32;
  keyHeadsA: i32;
  queryB: usize;
  keyB: usize;
  widthB: i32;
  keyHeadsB: i32;
  values: usize;
  valueDim: i32;
  valueHeads: i32;
  heads: i32;
  window: i32;
  scale: f32;
  /** 0 for none. */
  softCap: f32;
  output: usize;
  logSums: usize;
  dOutput: usize;
  dQueryA: usize;
  dKeyA: usize;
  dQueryB: usize;
  dKeyB: usize;
  dValues: usize;
  /** Triples of whole numbers: first row, rows and head. */
  units: usize;
}

/** Where one unit's matrices lie, as `layOut` has placed them; every thread has its own instance of the module. */
let queries: usize = 0;
let keyPanels: usize = 0;
let valueColumns: usize = 0;
let scores: usize = 0;
let keyColumns: usize = 0;
let valuePanels: usize = 0;
let weights: usize = 0;
let slopes: usize = 0;
let queryColumns: usize = 0;
let outputColumns: usize = 0;
let dKeys: usize = 0;
let dValueRows: usize = 0;
let dQueries: usize = 0;
let keyRows: usize = 0;

@inline
function eights(count: i32): i32 {
  return (count + 7) & ~7;
}

/** Lays the matrices out from `scratch` on and returns the end. */
function layOut(scratch: usize, rows: i32, width: i32, valueDim: i32, backward: bool): usize {
  const padded = <usize>eights(rows) + 8;
  let at = scratch;
  queries = at;
  at += padded * width * 4;
  keyRows = at;
  at += padded * width * 4;
  keyPanels = at;
  at += padded * width * 4;
  scores = at;
  at += padded * BLOCK * 4;
  if (!backward) {
    valueColumns = at;
    return at + <usize>eights(valueDim) * padded * 4;
  }
  keyColumns = at;
  at += <usize>eights(width) * padded * 4;
  valuePanels = at;
  at += padded * valueDim * 4;
  weights = at;
  at += padded * BLOCK * 4;
  slopes = at;
  at += padded * BLOCK * 4;
  queryColumns = at;
  at += <usize>eights(width) * BLOCK * 4;
  outputColumns = at;
  at += <usize>eights(valueDim) * BLOCK * 4;
  dKeys = at;
  at += padded * width * 4;
  dValueRows = at;
  at += padded * valueDim * 4;
  dQueries = at;
  return at + <usize>BLOCK * width * 4;
}

/** Bytes that units of at most `rows` rows need at `scratch`. */
export function documentScratchBytes(rows: i32, width: i32, valueDim: i32, backward: bool): usize {
  return layOut(0, rows, width, valueDim, backward) + 64;
}

/** Copies a head's numbers of both parts side by side: `[rows, widthA + widthB]`. */
function gatherHead(
  to: usize,
  a: usize,
  headsA: i32,
  widthA: i32,
  b: usize,
  headsB: i32,
  widthB: i32,
  task: DocumentTask,
  first: i32,
  rows: i32,
  head: i32,
): void {
  const headA = (head * headsA) / task.heads;
  const headB = widthB ? (head * headsB) / task.heads : 0;
  for (let r = first; r < first + rows; r++) {
    memory.copy(to, a + (<usize>r * headsA + headA) * widthA * 4, <usize>widthA * 4);
    to += <usize>widthA * 4;
    if (!widthB) continue;
    memory.copy(to, b + (<usize>r * headsB + headB) * widthB * 4, <usize>widthB * 4);
    to += <usize>widthB * 4;
  }
}

/** The reverse for gradients, which have a place for every head. */
function scatterHead(
  from: usize,
  a: usize,
  widthA: i32,
  b: usize,
  widthB: i32,
  heads: i32,
  first: i32,
  rows: i32,
  head: i32,
): void {
  for (let r = first; r < first + rows; r++) {
    const place = <usize>r * heads + head;
    memory.copy(a + place * widthA * 4, from, <usize>widthA * 4);
    from += <usize>widthA * 4;
    if (!widthB) continue;
    memory.copy(b + place * widthB * 4, from, <usize>widthB * 4);
    from += <usize>widthB * 4;
  }
}

function gather(task: DocumentTask, first: i32, rows: i32, head: i32): void {
  const heads = task.heads;
  const widthA = task.widthA;
  const widthB = task.widthB;
  const width = widthA + widthB;
  gatherHead(queries, task.queryA, heads, widthA, task.queryB, heads, widthB, task, first, rows, head);
  gatherHead(keyRows, task.keyA, task.keyHeadsA, widthA, task.keyB, task.keyHeadsB, widthB, task, first, rows, head);
  packPanels(keyPanels, keyRows, width, rows, width, 0, eights(rows) >> 3);
}

/** Capped logits of the queries `from … from + rows - 1` against the keys `start … from + rows - 1` of their document. */
function logits(task: DocumentTask, from: i32, rows: i32, start: i32, ld: i32, workspace: usize): void {
  const width = task.widthA + task.widthB;
  const columns = from + rows - start;
  const panels = keyPanels + <usize>(start >> 3) * panelBytes(F32, width);
  product(scores, ld, queries + <usize>from * width * 4, width, false, panels, width, 0, rows, width, columns, false, workspace);
  const scales = f32x4.splat(task.scale);
  const caps = f32x4.splat(task.softCap);
  const inverses = f32x4.splat(1 / task.softCap);
  for (let r = 0; r < rows; r++) {
    const row = scores + <usize>r * ld * 4;
    const last = from + r - start;
    const unseen = max(0, from + r - task.window + 1 - start);
    for (let i: usize = 0; i <= <usize>last * 4; i += 16) {
      let x = f32x4.mul(v128.load(row + i), scales);
      if (task.softCap > 0) x = softCap4(x, caps, inverses);
      v128.store(row + i, x);
    }
    for (let j = 0; j < unseen; j++) store<f32>(row + <usize>j * 4, MASKED);
    for (let j = last + 1; j < ld; j++) store<f32>(row + <usize>j * 4, MASKED);
  }
}

/** First key that a block of queries from `from` on looks at: a whole panel. */
@inline
function firstKey(task: DocumentTask, from: i32): i32 {
  return max(0, from - task.window + 1) & ~7;
}

/** Softmax of `columns` numbers, a multiple of 4, in place; returns the logarithm of the sum of exponentials. */
function softmaxRow(row: usize, columns: i32): f32 {
  const end = <usize>columns * 4;
  let largest4 = f32x4.splat(MASKED);
  for (let i: usize = 0; i < end; i += 16) largest4 = f32x4.pmax(largest4, v128.load(row + i));
  const largest = max(
    max(f32x4.extract_lane(largest4, 0), f32x4.extract_lane(largest4, 1)),
    max(f32x4.extract_lane(largest4, 2), f32x4.extract_lane(largest4, 3)),
  );
  const shift = f32x4.splat(largest);
  let sums = f32x4.splat(0);
  for (let i: usize = 0; i < end; i += 16) {
    const e = exp4(f32x4.sub(v128.load(row + i), shift));
    v128.store(row + i, e);
    sums = f32x4.add(sums, e);
  }
  const sum = sum4(sums);
  const inverse = f32x4.splat(1 / sum);
  for (let i: usize = 0; i < end; i += 16) v128.store(row + i, f32x4.mul(v128.load(row + i), inverse));
  return largest + Mathf.log(sum);
}

/** Units `first`, `first + step`, … of a task: writes output and logarithms of sums. */
export function attendDocuments(task: DocumentTask, first: i32, step: i32, count: i32, scratch: usize, workspace: usize): void {
  const heads = task.heads;
  const valueDim = task.valueDim;
  const width = task.widthA + task.widthB;
  for (let unit = first; unit < count; unit += step) {
    const at = task.units + <usize>unit * 12;
    const start = load<i32>(at);
    const rows = load<i32>(at, 4);
    const head = load<i32>(at, 8);
    layOut(scratch, rows, width, valueDim, false);
    gather(task, start, rows, head);
    const values = valuesOf(task, start, head);
    packTransposedPanels(valueColumns, values, task.valueHeads * valueDim, rows, 0, eights(valueDim) >> 3);
    const ld = eights(rows);
    for (let from = 0; from < rows; from += BLOCK) {
      const block = min(BLOCK, rows - from);
      const key = firstKey(task, from);
      logits(task, from, block, key, ld, workspace);
      const columns = from + block - key;
      for (let r = 0; r < block; r++) {
        const place = <usize>(start + from + r) * heads + head;
        store<f32>(task.logSums + place * 4, softmaxRow(scores + <usize>r * ld * 4, min(ld, (columns + 3) & ~3)));
      }
      const to = task.output + (<usize>(start + from) * heads + head) * valueDim * 4;
      product(to, heads * valueDim, scores, ld, false, valueColumns, rows, key, block, columns, valueDim, false, workspace);
    }
  }
}

@inline
function valuesOf(task: DocumentTask, first: i32, head: i32): usize {
  const valueHead = (head * task.valueHeads) / task.heads;
  return task.values + (<usize>first * task.valueHeads + valueHead) * task.valueDim * 4;
}

/** Units `first`, `first + step`, … of a task: writes the gradients, those of keys and values by head. */
export function attendDocumentsBackward(
  task: DocumentTask,
  first: i32,
  step: i32,
  count: i32,
  scratch: usize,
  workspace: usize,
): void {
  const heads = task.heads;
  const valueDim = task.valueDim;
  const widthA = task.widthA;
  const widthB = task.widthB;
  const width = widthA + widthB;
  for (let unit = first; unit < count; unit += step) {
    const at = task.units + <usize>unit * 12;
    const start = load<i32>(at);
    const rows = load<i32>(at, 4);
    const head = load<i32>(at, 8);
    layOut(scratch, rows, width, valueDim, true);
    gather(task, start, rows, head);
    packTransposedPanels(keyColumns, keyRows, width, rows, 0, eights(width) >> 3);
    packPanels(valuePanels, valuesOf(task, start, head), task.valueHeads * valueDim, rows, valueDim, 0, eights(rows) >> 3);
    memory.fill(dKeys, 0, <usize>rows * width * 4);
    memory.fill(dValueRows, 0, <usize>rows * valueDim * 4);
    for (let from = 0; from < rows; from += BLOCK) {
      backwardBlock(task, start, head, rows, from, min(BLOCK, rows - from), workspace);
    }
    scatterHead(dKeys, task.dKeyA, widthA, task.dKeyB, widthB, heads, start, rows, head);
    scatterHead(dValueRows, task.dValues, valueDim, 0, 0, heads, start, rows, head);
  }
}

/** A block of queries: its gradient, and what it adds to those of keys and values. */
function backwardBlock(
  task: DocumentTask,
  start: i32,
  head: i32,
  rows: i32,
  from: i32,
  block: i32,
  workspace: usize,
): void {
  const heads = task.heads;
  const valueDim = task.valueDim;
  const widthA = task.widthA;
  const widthB = task.widthB;
  const width = widthA + widthB;
  const ld = eights(rows);
  const key = firstKey(task, from);
  const columns = from + block - key;
  logits(task, from, block, key, ld, workspace);

  const place = <usize>(start + from) * heads + head;
  const ldOut = heads * valueDim;
  const dOut = task.dOutput + place * valueDim * 4;
  const panels = valuePanels + <usize>(key >> 3) * panelBytes(F32, valueDim);
  product(slopes, ld, dOut, ldOut, false, panels, valueDim, 0, block, valueDim, columns, false, workspace);
  for (let r = 0; r < block; r++) {
    const row = place + <usize>r * heads;
    const mean = dot(dOut + <usize>r * ldOut * 4, task.output + row * valueDim * 4, valueDim);
    slopeRow(task, <usize>r * ld * 4, load<f32>(task.logSums + row * 4), mean, (columns + 3) & ~3);
  }
  product(dQueries, width, slopes, ld, false, keyColumns, rows, key, block, columns, width, false, workspace);
  scatterHead(dQueries, task.dQueryA, widthA, task.dQueryB, widthB, heads, start + from, block, head);

  packTransposedPanels(queryColumns, queries + <usize>from * width * 4, width, block, 0, eights(width) >> 3);
  const dKey = dKeys + <usize>key * width * 4;
  product(dKey, width, slopes, ld, true, queryColumns, block, 0, columns, block, width, true, workspace);
  packTransposedPanels(outputColumns, dOut, ldOut, block, 0, eights(valueDim) >> 3);
  const dValue = dValueRows + <usize>key * valueDim * 4;
  product(dValue, valueDim, weights, ld, true, outputColumns, block, 0, columns, block, valueDim, true, workspace);
}

/**
 * One row of softmax weights `p = e^(logit - logSum)`, and of the gradient of the sums before scale and cap:
 * `p (dWeight - mean) scale (1 - (logit / cap)^2)`, which takes the place of `dWeight`.
 */
@inline
function slopeRow(task: DocumentTask, offset: usize, logSum: f32, mean: f32, columns: i32): void {
  const logSums = f32x4.splat(logSum);
  const means = f32x4.splat(mean);
  const scales = f32x4.splat(task.scale);
  const inverses = f32x4.splat(1 / task.softCap);
  const capped = task.softCap > 0;
  for (let i = offset; i < offset + <usize>columns * 4; i += 16) {
    const logit = v128.load(scores + i);
    const p = exp4(f32x4.sub(logit, logSums));
    v128.store(weights + i, p);
    // Beyond the last column there may be anything, also what is no number.
    const seen = f32x4.gt(p, f32x4.splat(0));
    let slope = f32x4.mul(f32x4.mul(p, f32x4.sub(v128.load(slopes + i), means)), scales);
    if (capped) {
      const ratio = f32x4.mul(logit, inverses);
      slope = f32x4.mul(slope, f32x4.sub(f32x4.splat(1), f32x4.mul(ratio, ratio)));
    }
    v128.store(slopes + i, v128.and(slope, seen));
  }
}

function dot(a: usize, b: usize, count: i32): f32 {
  let sums = f32x4.splat(0);
  let i: usize = 0;
  for (; i < <usize>(count & ~3) * 4; i += 16) sums = madd(sums, v128.load(a + i), v128.load(b + i));
  let sum = sum4(sums);
  for (; i < <usize>count * 4; i += 4) sum += load<f32>(a + i) * load<f32>(b + i);
  return sum;
}

/** `to[t, j] = sum of from[t, head]` over the heads of group `j`; heads of `width` numbers, rows `first …`. */
export function sumHeads(to: usize, from: usize, first: i32, count: i32, heads: i32, groups: i32, width: i32): void {
  const each = heads / groups;
  to += <usize>first * groups * width * 4;
  from += <usize>first * heads * width * 4;
  for (let i = 0; i < count * groups; i++) {
    memory.copy(to, from, <usize>width * 4);
    from += <usize>width * 4;
    for (let head = 1; head < each; head++) {
      for (let j: usize = 0; j < <usize>width * 4; j += 4) {
        store<f32>(to + j, load<f32>(to + j) + load<f32>(from + j));
      }
      from += <usize>width * 4;
    }
    to += <usize>width * 4;
  }
}
