import { multiplyStrip, stripScales, UNPACKED_BYTES } from "./integer-tile";
import { panelBytes } from "./panels";
import { prepareInputs, PREPARED_BYTES } from "./prepare";
import { F16, F32, I8 } from "./storages";
import { storeEdge, storeRow, tile4x16, tile4x8 } from "./tile";
import { multiplyRows } from "./vector";
import { areVectorsWide } from "./wide";
import { widen } from "./widen";

/** Rows of `x` per block: a packed block of `ROWS x INPUTS` numbers (270 KB) stays in the second-level cache. */
export const ROWS: i32 = 120;
/** Most inputs per block: a panel of `INPUTS x 8` numbers (18 KB) stays in the first-level cache for all rows of a block. */
export const INPUTS: i32 = 576;

const X_BYTES: usize = <usize>ROWS * INPUTS * 4;
const PANEL_BYTES: usize = <usize>INPUTS * 32;
const EDGE_BYTES: usize = 4 * 32;
/** Sums of a strip for all rows of a block. */
const SUMS_BYTES: usize = <usize>ROWS * 32;
/** From so many rows of `x` on, unpacking quantised weights once for all is faster than meeting them row by row. */
const WORTH_UNPACKING: i32 = 8;

/** Bytes that `linear` needs at `workspace`: those of float weights are the most. */
export const LINEAR_BYTES: usize = X_BYTES + 2 * PANEL_BYTES + EDGE_BYTES;

/**
 * `y = x W^T + b` for a matrix `W [outputs, inputs]` in panels; `bias` is 0 for none. Rows of `x` and `y` are `ldx` and
 * `ldy` numbers apart. The result of a row is the same to the bit however many rows there are.
 */
export function linear(
  y: usize,
  ldy: i32,
  x: usize,
  ldx: i32,
  panels: usize,
  storage: i32,
  bias: usize,
  tokens: i32,
  inputs: i32,
  outputs: i32,
  workspace: usize,
): void {
  if (bias) {
    for (let t = 0; t < tokens; t++) memory.copy(y + <usize>t * ldy * 4, bias, <usize>outputs * 4);
  }
  const add = bias != 0;
  const xBytes = <usize>ldx * 4;
  const yBytes = <usize>ldy * 4;
  if (storage > F16 && <usize>preparedBytes(inputs) <= X_BYTES) {
    wholeNumbers(y, yBytes, x, xBytes, panels, storage, add, tokens, inputs, outputs, workspace);
  } else {
    floats(y, yBytes, x, xBytes, panels, storage, add, tokens, inputs, outputs, workspace);
  }
}

/** Bytes of one row of `x` in whole numbers. */
@inline
function preparedBytes(inputs: i32): i32 {
  return ((inputs + 31) >> 5) * <i32>PREPARED_BYTES;
}

/** Quantised weights: rows of `x` become whole numbers once. Strides in bytes. */
function wholeNumbers(
  y: usize,
  yBytes: usize,
  x: usize,
  xBytes: usize,
  panels: usize,
  storage: i32,
  add: bool,
  tokens: i32,
  inputs: i32,
  outputs: i32,
  workspace: usize,
): void {
  const bytes = <usize>preparedBytes(inputs);
  const edge = workspace + X_BYTES + UNPACKED_BYTES + SUMS_BYTES;
  // Four rows before they are interleaved, and at least four after.
  const room = min(ROWS, <i32>(X_BYTES / bytes) - 4) & ~3;
  const quads = workspace + 4 * bytes;
  let t = 0;
  while (room > 0 && tokens - t >= WORTH_UNPACKING) {
    const rows = min(room, tokens - t) & ~3;
    for (let r = 0; r < rows; r += 4) {
      prepareRows(workspace, x + <usize>(t + r) * xBytes, xBytes, 4, inputs, edge);
      interleave4(quads + <usize>r * bytes, workspace, bytes, <i32>(bytes / 4));
    }
    multiplyQuads(y + <usize>t * yBytes, yBytes, quads, rows, panels, storage, add, inputs, outputs, workspace);
    t += rows;
  }
  const most = min(<i32>(X_BYTES / bytes), WORTH_UNPACKING);
  while (t < tokens) {
    const rows = min(most, tokens - t);
    prepareRows(workspace, x + <usize>t * xBytes, xBytes, rows, inputs, edge);
    const to = y + <usize>t * yBytes;
    multiplyRows(to, yBytes, workspace, bytes, rows, panels, storage, add, inputs, inputs, outputs, edge);
    t += rows;
  }
}

function prepareRows(to: usize, x: usize, xBytes: usize, rows: i32, inputs: i32, scratch: usize): void {
  for (let r = 0; r < rows; r++) {
    prepareInputs(to + <usize>r * preparedBytes(inputs), x + <usize>r * xBytes, inputs, scratch);
  }
}

/** Rows of `x` in fours, strip by strip of the weights. */
function multiplyQuads(
  y: usize,
  yBytes: usize,
  quads: usize,
  rows: i32,
  panels: usize,
  storage: i32,
  add: bool,
  inputs: i32,
  outputs: i32,
  workspace: usize,
): void {
  const unpacked = workspace + X_BYTES;
  const sums = unpacked + UNPACKED_BYTES;
  for (let o = 0; o < outputs; o += 8) {
    memory.fill(sums, 0, <usize>rows * 32);
    multiplyStrip(sums, quads, rows >> 2, panels, storage, inputs, o, unpacked);
    const scales = storage == I8 ? stripScales(panels, inputs, o) : 0;
    for (let r = 0; r < rows; r++) {
      const from = sums + <usize>r * 32;
      const target = y + <usize>r * yBytes + <usize>o * 4;
      let low = v128.load(from);
      let high = v128.load(from, 16);
      if (scales) {
        low = f32x4.mul(low, v128.load(scales));
        high = f32x4.mul(high, v128.load(scales, 16));
      }
      if (o + 8 <= outputs) storeRow(target, low, high, add);
      else {
        storeRow(from, low, high, false);
        storeEdge(target, 0, from, 1, outputs - o, add);
      }
    }
  }
}

/** Float weights, and rows too long for whole numbers: in blocks of rows and inputs. Strides in bytes. */
function floats(
  y: usize,
  yBytes: usize,
  x: usize,
  xBytes: usize,
  panels: usize,
  storage: i32,
  add: bool,
  tokens: i32,
  inputs: i32,
  outputs: i32,
  workspace: usize,
): void {
  // Blocks of about equal depth, in whole groups of quants.
  const blocks = (inputs + INPUTS - 1) / INPUTS;
  const most = ((inputs + blocks - 1) / blocks + 31) & ~31;
  const edge = workspace + X_BYTES + 2 * PANEL_BYTES;
  // The tile takes four rows at a time; fewer are cheaper one by one.
  const tiled = storage > F16 || (tokens & 3) == 3 ? tokens : tokens & ~3;
  for (let t = 0; t < tiled; t += ROWS) {
    const rows = min(ROWS, tiled - t);
    for (let k = 0; k < inputs; k += most) {
      const depth = min(most, inputs - k);
      packInputs(workspace, x + <usize>t * xBytes + <usize>k * 4, xBytes, rows, depth);
      multiplyBlock(
        y + <usize>t * yBytes,
        yBytes,
        panels,
        storage,
        rows,
        k,
        depth,
        inputs,
        outputs,
        add || k > 0,
        workspace,
      );
    }
  }
  if (tiled == tokens) return;
  const to = y + <usize>tiled * yBytes;
  const from = x + <usize>tiled * xBytes;
  multiplyRows(to, yBytes, from, xBytes, tokens - tiled, panels, storage, add, inputs, most, outputs, edge);
}

/** Interleaves groups of 4 rows of `x`, `ldx` bytes apart; missing rows of the last group become zero. */
export function packInputs(to: usize, x: usize, ldx: usize, rows: i32, depth: i32): void {
  for (let r = 0; r < rows; r += 4) {
    if (r + 4 <= rows) interleave4(to, x, ldx, depth);
    else {
      memory.fill(to, 0, <usize>depth * 16);
      for (let i = 0; i < rows - r; i++) {
        const from = x + <usize>i * ldx;
        for (let k = 0; k < depth; k++) {
          store<f32>(to + (<usize>k * 4 + i) * 4, load<f32>(from + <usize>k * 4));
        }
      }
    }
    to += <usize>depth * 16;
    x += 4 * ldx;
  }
}

/** Transposes 4 rows in blocks of 4x4. */
export function interleave4(to: usize, x0: usize, ldx: usize, depth: i32): void {
  transpose4(to, x0, ldx, depth, 16);
}

/** 4 rows as columns: the 4 numbers of every input, `step` bytes from one input to the next. */
@inline
export function transpose4(to: usize, x0: usize, ldx: usize, depth: i32, step: usize): void {
  const x1 = x0 + ldx;
  const x2 = x1 + ldx;
  const x3 = x2 + ldx;
  const whole = <usize>(depth & ~3) * 4;
  let k: usize = 0;
  for (; k < whole; k += 16) {
    const a = v128.load(x0 + k);
    const b = v128.load(x1 + k);
    const c = v128.load(x2 + k);
    const d = v128.load(x3 + k);
    transposeBlock(a, b, c, d, to, to + step, to + 2 * step, to + 3 * step);
    to += 4 * step;
  }
  for (; k < <usize>depth * 4; k += 4) {
    store<f32>(to, load<f32>(x0 + k));
    store<f32>(to, load<f32>(x1 + k), 4);
    store<f32>(to, load<f32>(x2 + k), 8);
    store<f32>(to, load<f32>(x3 + k), 12);
    to += step;
  }
}

/** Columns of the 4x4 block with rows `a … d`. */
@inline
export function transposeBlock(
  a: v128,
  b: v128,
  c: v128,
  d: v128,
  to0: usize,
  to1: usize,
  to2: usize,
  to3: usize,
): void {
  const ab01 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const ab23 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd01 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const cd23 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to0, v128.shuffle<f32>(ab01, cd01, 0, 1, 4, 5));
  v128.store(to1, v128.shuffle<f32>(ab01, cd01, 2, 3, 6, 7));
  v128.store(to2, v128.shuffle<f32>(ab23, cd23, 0, 1, 4, 5));
  v128.store(to3, v128.shuffle<f32>(ab23, cd23, 2, 3, 6, 7));
}

/** A packed block of `x` times the inputs `k … k + depth - 1` of every panel. `ldy` in bytes. */
export function multiplyBlock(
  y: usize,
  ldy: usize,
  panels: usize,
  storage: i32,
  rows: i32,
  k: i32,
  depth: i32,
  inputs: i32,
  outputs: i32,
  add: bool,
  workspace: usize,
): void {
  const widened = workspace + X_BYTES;
  const edge = widened + 2 * PANEL_BYTES;
  for (let o = 0; o < outputs; ) {
    const to = y + <usize>o * 4;
    const panel = floatPanel(widened, panels, storage, inputs, o, k, depth);
    if (!areVectorsWide() || outputs - o < 16) {
      multiplyPanel(to, ldy, panel, 0, rows, depth, min(8, outputs - o), add, workspace, edge);
      o += 8;
      continue;
    }
    const next = floatPanel(widened + PANEL_BYTES, panels, storage, inputs, o + 8, k, depth);
    const whole = rows & ~3;
    for (let r = 0; r < whole; r += 4) {
      tile4x16(workspace + <usize>r * depth * 4, panel, next, depth, to + <usize>r * ldy, ldy, add);
    }
    multiplyPanel(to, ldy, panel, whole, rows, depth, 8, add, workspace, edge);
    multiplyPanel(to + 32, ldy, next, whole, rows, depth, 8, add, workspace, edge);
    o += 16;
  }
}

/** Inputs `k … k + depth - 1` of the panel of output `o` as F32: where they lie, or widened at `to`. */
@inline
function floatPanel(to: usize, panels: usize, storage: i32, inputs: i32, o: i32, k: i32, depth: i32): usize {
  if (storage == F32) return panels + <usize>(o >> 3) * panelBytes(F32, inputs) + <usize>k * 32;
  widen(to, panels, storage, inputs, o, k, depth);
  return to;
}

/** Rows `first … rows - 1` of a packed block, `first` a multiple of 4, times one panel, of which `columns` outputs are there. */
function multiplyPanel(
  y: usize,
  ldy: usize,
  panel: usize,
  first: i32,
  rows: i32,
  depth: i32,
  columns: i32,
  add: bool,
  workspace: usize,
  edge: usize,
): void {
  for (let r = first; r < rows; r += 4) {
    const target = y + <usize>r * ldy;
    const packed = workspace + <usize>r * depth * 4;
    if (columns == 8 && r + 4 <= rows) tile4x8(packed, panel, depth, target, ldy, add);
    else {
      tile4x8(packed, panel, depth, edge, 32, false);
      storeEdge(target, ldy, edge, min(4, rows - r), columns, add);
    }
  }
}
