import { LOG2_E } from "./exp";
import { transposeBlock } from "./linear";
import { slotOf } from "./page-run";
import { ROWS, rowIndex, RUN, Task } from "./task";
import { tile4x16 } from "./tile";
import { areVectorsWide } from "./wide";

/**
 * Logits of many query rows as a product of small matrices: 16 cached rows at a time become columns, which all queries meet in the tile
 * of the matrix product. For engines that join vectors to 256 bits: they cannot join the sums along a row of `scores.ts`.
 *
 * The bits are the same. `scores.ts` has four sums for each logit, each of every fourth component, and so each of four phases is a
 * product of its own here. Components of a part beyond its last whole four belong to the first phase.
 */

/** Most numbers of a query, of both parts together. */
const WIDEST: i32 = 1024;
/** Query rows that are worth making columns for. */
const FEWEST_ROWS: i32 = 16;
/** Cached rows of a panel. */
const KEYS: i32 = 16;

const QUERIES_BYTES: usize = <usize>ROWS * WIDEST * 4;
/** Eight cached rows. */
const HALF_BYTES: usize = <usize>WIDEST * 8 * 4;
/** The sums of odd phases of a tile. */
const ODD_BYTES: usize = 4 * <usize>KEYS * 4;

/** Bytes that these functions need at `scratch`: queries, both halves of a panel, sums. */
export const PANEL_SCORES_BYTES: usize = QUERIES_BYTES + 2 * HALF_BYTES + ODD_BYTES;

export function areWorthPanels(task: Task, rows: i32): bool {
  return areVectorsWide() && rows >= FEWEST_ROWS && task.widthA + task.widthB <= WIDEST && fours(task) > 0;
}

/** Components in every phase but the first. */
@inline
function fours(task: Task): i32 {
  return (task.widthA >> 2) + (task.widthB >> 2);
}

/** Components in the first phase. */
@inline
function firsts(task: Task): i32 {
  return fours(task) + (task.widthA & 3) + (task.widthB & 3);
}

/** Places the queries of a block at `scratch`: groups of 4 rows, interleaved, phase by phase. */
export function packQueries(task: Task, firstRow: i32, heads: i32, rows: i32, scratch: usize): void {
  const bytesA = <usize>task.widthA * 4;
  const bytesB = <usize>task.widthB * 4;
  const last = rows - 1;
  // The last row stands in for missing ones.
  for (let r = 0; r < rows; r += 4) {
    const r0 = rowIndex(task, firstRow, heads, r);
    const r1 = rowIndex(task, firstRow, heads, min(r + 1, last));
    const r2 = rowIndex(task, firstRow, heads, min(r + 2, last));
    const r3 = rowIndex(task, firstRow, heads, min(r + 3, last));
    const to = scratch + <usize>r * (bytesA + bytesB);
    packFour(task, to, 16, task.queryA, bytesA, task.queryB, bytesB, r0, r1, r2, r3);
  }
}

/**
 * `scores[r, c] = scale * query_r . key_c` in units of ln 2, of packed queries and `count` keys from position `n` on; columns up to the
 * next multiple of 16 are filled too. `keysA` and `keysB` are the planes if `inPlace`, else the first rows;
 * `strideA` is in bytes.
 */
export function scoreByPanels(
  task: Task,
  keysA: usize,
  strideA: usize,
  keysB: usize,
  inPlace: bool,
  n: i32,
  count: i32,
  rows: i32,
  scores: usize,
  scratch: usize,
): void {
  const bytesB = <usize>task.strideB * 4;
  const rowBytes = <usize>(task.widthA + task.widthB) * 4;
  const panel = scratch + QUERIES_BYTES;
  const last = count - 1;
  for (let c = 0; c < count; c += KEYS) {
    for (let k = c; k < min(c + KEYS, count); k += 4) {
      const k0 = keyAt(task, inPlace, n, k);
      const k1 = keyAt(task, inPlace, n, min(k + 1, last));
      const k2 = keyAt(task, inPlace, n, min(k + 2, last));
      const k3 = keyAt(task, inPlace, n, min(k + 3, last));
      const to = panel + (k - c < 8 ? 0 : HALF_BYTES) + <usize>(k & 4) * 4;
      packFour(task, to, 32, keysA, strideA, keysB, bytesB, k0, k1, k2, k3);
    }
    for (let r = 0; r < rows; r += 4) {
      scoreTile(task, scratch + <usize>r * rowBytes, panel, scores + <usize>(r * RUN + c) * 4);
    }
  }
}

@inline
function keyAt(task: Task, inPlace: bool, n: i32, key: i32): usize {
  return inPlace ? <usize>slotOf(task, n + key) : <usize>key;
}

/** Both parts of rows `i0 … i3` as columns, phase by phase; `step` bytes from one component to the next. */
@inline
function packFour(
  task: Task,
  to: usize,
  step: usize,
  a: usize,
  bytesA: usize,
  b: usize,
  bytesB: usize,
  i0: usize,
  i1: usize,
  i2: usize,
  i3: usize,
): void {
  const phase = <usize>fours(task) * step;
  const later = to + <usize>firsts(task) * step;
  const width = task.widthA;
  packPart(to, later, phase, step, width, a + i0 * bytesA, a + i1 * bytesA, a + i2 * bytesA, a + i3 * bytesA);
  const toB = to + <usize>((width >> 2) + (width & 3)) * step;
  const laterB = later + <usize>(width >> 2) * step;
  packPart(toB, laterB, phase, step, task.widthB, b + i0 * bytesB, b + i1 * bytesB, b + i2 * bytesB, b + i3 * bytesB);
}

/** One part; `to` and `later` are its places in the first and the second phase, `phase` bytes lie between later ones. */
function packPart(
  to: usize,
  later: usize,
  phase: usize,
  step: usize,
  width: i32,
  x0: usize,
  x1: usize,
  x2: usize,
  x3: usize,
): void {
  const whole = <usize>(width & ~3) * 4;
  let k: usize = 0;
  for (; k < whole; k += 16) {
    const a = v128.load(x0 + k);
    const b = v128.load(x1 + k);
    const c = v128.load(x2 + k);
    const d = v128.load(x3 + k);
    transposeBlock(a, b, c, d, to, later, later + phase, later + 2 * phase);
    to += step;
    later += step;
  }
  for (; k < <usize>width * 4; k += 4) {
    store<f32>(to, load<f32>(x0 + k));
    store<f32>(to, load<f32>(x1 + k), 4);
    store<f32>(to, load<f32>(x2 + k), 8);
    store<f32>(to, load<f32>(x3 + k), 12);
    to += step;
  }
}

/** Four queries with the 16 keys of a panel; adds the phases in the order of `sums4` of `scores.ts`. */
function scoreTile(task: Task, queries: usize, panel: usize, to: usize): void {
  const odd = panel + 2 * HALF_BYTES;
  const first = firsts(task);
  const depth = fours(task);
  addPhase(queries, panel, 0, first, to, RUN * 4, false);
  addPhase(queries, panel, first, depth, odd, <usize>KEYS * 4, false);
  addPhase(queries, panel, first + depth, depth, to, RUN * 4, true);
  addPhase(queries, panel, first + 2 * depth, depth, odd, <usize>KEYS * 4, true);
  const scale = f32x4.splat(task.scale * LOG2_E);
  for (let row: usize = 0; row < 4; row++) {
    const x = to + row * RUN * 4;
    const y = odd + row * <usize>KEYS * 4;
    v128.store(x, f32x4.mul(f32x4.add(v128.load(x), v128.load(y)), scale));
    v128.store(x, f32x4.mul(f32x4.add(v128.load(x, 16), v128.load(y, 16)), scale), 16);
    v128.store(x, f32x4.mul(f32x4.add(v128.load(x, 32), v128.load(y, 32)), scale), 32);
    v128.store(x, f32x4.mul(f32x4.add(v128.load(x, 48), v128.load(y, 48)), scale), 48);
  }
}

/** `depth` components from `at` on. */
@inline
function addPhase(queries: usize, panel: usize, at: i32, depth: i32, to: usize, stride: usize, add: bool): void {
  const left = panel + <usize>at * 32;
  tile4x16(queries + <usize>at * 16, left, left + HALF_BYTES, depth, to, stride, add);
}
