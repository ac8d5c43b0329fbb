import { madd } from "./madd";
import { F32 } from "./panels";
import { storeRow, tile4x8 } from "./tile";

/** Rows of `x` per block: a packed block of `ROWS x INPUTS` numbers (135 KB) stays in the second-level cache. */
const ROWS: i32 = 120;
/** Inputs per block: a panel of `INPUTS x 8` numbers (9 KB) stays in the first-level cache for all rows of a block. */
const INPUTS: i32 = 288;

const X_BYTES: usize = <usize>ROWS * INPUTS * 4;
const PANEL_BYTES: usize = <usize>INPUTS * 32;
const EDGE_BYTES: usize = 4 * 32;

/** Bytes that `linear` needs at `workspace`. */
export const LINEAR_BYTES: usize = X_BYTES + PANEL_BYTES + EDGE_BYTES;

/**
 * `y = x W^T + b` for a matrix `W [outputs, inputs]` in panels; `bias` is 0 for none. Rows of `x` and `y` are `ldx` and
 * `ldy` numbers apart.
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
  if (tokens == 1) return multiplyVector(y, x, panels, storage, add, inputs, outputs, workspace);
  for (let t = 0; t < tokens; t += ROWS) {
    const rows = min(ROWS, tokens - t);
    for (let k = 0; k < inputs; k += INPUTS) {
      const depth = min(INPUTS, inputs - k);
      packInputs(workspace, x + (<usize>t * ldx + k) * 4, <usize>ldx * 4, rows, depth);
      multiplyBlock(
        y + <usize>t * ldy * 4,
        <usize>ldy * 4,
        panels + <usize>k * (storage == F32 ? 32 : 16),
        storage,
        rows,
        depth,
        inputs,
        outputs,
        add || k > 0,
        workspace,
      );
    }
  }
}

/** Interleaves groups of 4 rows of `x`; missing rows of the last group become zero. */
function packInputs(to: usize, x: usize, ldx: usize, rows: i32, depth: i32): void {
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
function interleave4(to: usize, x0: usize, ldx: usize, depth: i32): void {
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
    const ab01 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
    const ab23 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
    const cd01 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
    const cd23 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<f32>(ab01, cd01, 0, 1, 4, 5));
    v128.store(to, v128.shuffle<f32>(ab01, cd01, 2, 3, 6, 7), 16);
    v128.store(to, v128.shuffle<f32>(ab23, cd23, 0, 1, 4, 5), 32);
    v128.store(to, v128.shuffle<f32>(ab23, cd23, 2, 3, 6, 7), 48);
    to += 64;
  }
  for (; k < <usize>depth * 4; k += 4) {
    store<f32>(to, load<f32>(x0 + k));
    store<f32>(to, load<f32>(x1 + k), 4);
    store<f32>(to, load<f32>(x2 + k), 8);
    store<f32>(to, load<f32>(x3 + k), 12);
    to += 16;
  }
}

/** A packed block of `x` times a block of inputs of every panel. `ldy` in bytes. */
function multiplyBlock(
  y: usize,
  ldy: usize,
  panels: usize,
  storage: i32,
  rows: i32,
  depth: i32,
  inputs: i32,
  outputs: i32,
  add: bool,
  workspace: usize,
): void {
  const widened = workspace + X_BYTES;
  const edge = widened + PANEL_BYTES;
  for (let o = 0; o < outputs; o += 8) {
    const columns = min(8, outputs - o);
    let panel = panels;
    if (storage == F32) panels += <usize>inputs * 32;
    else {
      widen(widened, panels, depth);
      panel = widened;
      panels += <usize>inputs * 16;
    }
    let packed = workspace;
    for (let r = 0; r < rows; r += 4) {
      const target = y + <usize>r * ldy + <usize>o * 4;
      if (columns == 8 && r + 4 <= rows) tile4x8(packed, panel, depth, target, ldy, add);
      else {
        tile4x8(packed, panel, depth, edge, 32, false);
        storeEdge(target, ldy, edge, min(4, rows - r), columns, add);
      }
      packed += <usize>depth * 16;
    }
  }
}

/** bf16 numbers of a panel to float32. */
function widen(to: usize, from: usize, depth: i32): void {
  const upper = i32x4.splat(0xffff0000);
  const end = from + <usize>depth * 16;
  while (from < end) {
    const words = v128.load(from);
    v128.store(to, i32x4.shl(words, 16));
    v128.store(to, v128.and(words, upper), 16);
    from += 16;
    to += 32;
  }
}

/** The part of a tile that lies inside the result. */
function storeEdge(y: usize, ldy: usize, edge: usize, rows: i32, columns: i32, add: bool): void {
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const target = y + <usize>r * ldy + <usize>c * 4;
      const value = load<f32>(edge + (<usize>r * 8 + c) * 4);
      store<f32>(target, add ? load<f32>(target) + value : value);
    }
  }
}

/**
 * One row of `x`: bound by reading the weights, so several panels are read at once to keep the memory busy (four of bf16,
 * measured at the bandwidth of a plain read; float32 panels are twice as long and two are enough).
 */
function multiplyVector(
  y: usize,
  x: usize,
  panels: usize,
  storage: i32,
  add: bool,
  inputs: i32,
  outputs: i32,
  workspace: usize,
): void {
  const step: i32 = storage == F32 ? 16 : 32;
  const panelBytes = <usize>inputs * (storage == F32 ? 32 : 16);
  let o = 0;
  for (; o + step <= outputs; o += step) {
    if (storage == F32) vector2(y, x, panels, panelBytes, inputs, add);
    else vector4(y, x, panels, panelBytes, inputs, add);
    panels += panelBytes * (step >> 3);
    y += <usize>step * 4;
  }
  const edge = workspace + X_BYTES + PANEL_BYTES;
  for (; o < outputs; o += 8) {
    const columns = min(8, outputs - o);
    vector1(edge, x, panels, storage, inputs);
    storeEdge(y, 0, edge, 1, columns, add);
    panels += panelBytes;
    y += 32;
  }
}

/** Four bf16 panels at once: 32 outputs. */
function vector4(y: usize, x: usize, w0: usize, stride: usize, inputs: i32, add: bool): void {
  const upper = i32x4.splat(0xffff0000);
  let w1 = w0 + stride;
  let w2 = w1 + stride;
  let w3 = w2 + stride;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  for (let k = inputs; k > 0; k--) {
    const s = v128.load32_splat(x);
    let words = v128.load(w0);
    a0 = madd(a0, s, i32x4.shl(words, 16));
    a1 = madd(a1, s, v128.and(words, upper));
    words = v128.load(w1);
    a2 = madd(a2, s, i32x4.shl(words, 16));
    a3 = madd(a3, s, v128.and(words, upper));
    words = v128.load(w2);
    a4 = madd(a4, s, i32x4.shl(words, 16));
    a5 = madd(a5, s, v128.and(words, upper));
    words = v128.load(w3);
    a6 = madd(a6, s, i32x4.shl(words, 16));
    a7 = madd(a7, s, v128.and(words, upper));
    w0 += 16;
    w1 += 16;
    w2 += 16;
    w3 += 16;
    x += 4;
  }
  storeRow(y, a0, a1, add);
  storeRow(y + 32, a2, a3, add);
  storeRow(y + 64, a4, a5, add);
  storeRow(y + 96, a6, a7, add);
}

/** Two float32 panels at once, two inputs per step: 16 outputs. */
function vector2(y: usize, x: usize, w0: usize, stride: usize, inputs: i32, add: bool): void {
  let w1 = w0 + stride;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let k = inputs;
  for (; k > 1; k -= 2) {
    let s = v128.load32_splat(x);
    a0 = madd(a0, s, v128.load(w0));
    a1 = madd(a1, s, v128.load(w0, 16));
    a2 = madd(a2, s, v128.load(w1));
    a3 = madd(a3, s, v128.load(w1, 16));
    s = v128.load32_splat(x, 4);
    b0 = madd(b0, s, v128.load(w0, 32));
    b1 = madd(b1, s, v128.load(w0, 48));
    b2 = madd(b2, s, v128.load(w1, 32));
    b3 = madd(b3, s, v128.load(w1, 48));
    w0 += 64;
    w1 += 64;
    x += 8;
  }
  if (k == 1) {
    const s = v128.load32_splat(x);
    a0 = madd(a0, s, v128.load(w0));
    a1 = madd(a1, s, v128.load(w0, 16));
    a2 = madd(a2, s, v128.load(w1));
    a3 = madd(a3, s, v128.load(w1, 16));
  }
  storeRow(y, f32x4.add(a0, b0), f32x4.add(a1, b1), add);
  storeRow(y + 32, f32x4.add(a2, b2), f32x4.add(a3, b3), add);
}

/** One panel, for what is left: 8 outputs. */
function vector1(y: usize, x: usize, panel: usize, storage: i32, inputs: i32): void {
  const upper = i32x4.splat(0xffff0000);
  let a0 = f32x4.splat(0);
  let a1 = a0;
  for (let k = inputs; k > 0; k--) {
    const s = v128.load32_splat(x);
    if (storage == F32) {
      a0 = madd(a0, s, v128.load(panel));
      a1 = madd(a1, s, v128.load(panel, 16));
      panel += 32;
    } else {
      const words = v128.load(panel);
      a0 = madd(a0, s, i32x4.shl(words, 16));
      a1 = madd(a1, s, v128.and(words, upper));
      panel += 16;
    }
    x += 4;
  }
  storeRow(y, a0, a1, false);
}
