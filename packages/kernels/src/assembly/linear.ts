import { panelBytes } from "./panels";
import { F16, F32 } from "./storages";
import { storeEdge, tile4x8 } from "./tile";
import { multiplyVector } from "./vector";
import { PREPARED_BYTES } from "./prepare";
import { widen } from "./widen";

/** Rows of `x` per block: a packed block of `ROWS x INPUTS` numbers (270 KB) stays in the second-level cache. */
export const ROWS: i32 = 120;
/** Most inputs per block: a panel of `INPUTS x 8` numbers (18 KB) stays in the first-level cache for all rows of a block. */
export const INPUTS: i32 = 576;

const X_BYTES: usize = <usize>ROWS * INPUTS * 4;
const PANEL_BYTES: usize = <usize>INPUTS * 32;
const EDGE_BYTES: usize = 4 * 32;
/** Up to so many rows of `x`, quantised weights are multiplied row by row: widening them would take longer. */
const FEW_ROWS: i32 = 4;

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
  if (tokens <= (storage > F16 ? FEW_ROWS : 1) && <usize>inputs * PREPARED_BYTES <= 32 * X_BYTES - 1024) {
    for (let t = 0; t < tokens; t++) {
      const target = y + <usize>t * ldy * 4;
      const row = x + <usize>t * ldx * 4;
      multiplyVector(target, row, panels, storage, add, inputs, outputs, workspace);
    }
    return;
  }
  // Blocks of about equal depth, in whole groups of quants.
  const blocks = (inputs + INPUTS - 1) / INPUTS;
  const most = ((inputs + blocks - 1) / blocks + 31) & ~31;
  for (let t = 0; t < tokens; t += ROWS) {
    const rows = min(ROWS, tokens - t);
    for (let k = 0; k < inputs; k += most) {
      const depth = min(most, inputs - k);
      packInputs(workspace, x + (<usize>t * ldx + k) * 4, <usize>ldx * 4, rows, depth);
      multiplyBlock(
        y + <usize>t * ldy * 4,
        <usize>ldy * 4,
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
  const edge = widened + PANEL_BYTES;
  const bytes = panelBytes(F32, inputs);
  for (let o = 0; o < outputs; o += 8) {
    const columns = min(8, outputs - o);
    let panel = widened;
    if (storage == F32) panel = panels + <usize>(o >> 3) * bytes + <usize>k * 32;
    else widen(widened, panels, storage, inputs, o, k, depth);
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
