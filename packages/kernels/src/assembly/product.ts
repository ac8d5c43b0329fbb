import { INPUTS, multiplyBlock, packInputs, ROWS, transpose4 } from "./linear";
import { panelBytes } from "./panels";
import { F32 } from "./storages";

/**
 * `y (+)= x W^T` for matrices that are made anew for every product: `W` in panels of F32 with `inputs` inputs, of which
 * those from `from` on take part, `depth` of them. `x` is `[rows, depth]`, or with `transposed` `[depth, rows]`; rows of `x`
 * and `y` are `ldx` and `ldy` numbers apart.
 */
export function product(
  y: usize,
  ldy: i32,
  x: usize,
  ldx: i32,
  transposed: bool,
  panels: usize,
  inputs: i32,
  from: i32,
  rows: i32,
  depth: i32,
  outputs: i32,
  add: bool,
  workspace: usize,
): void {
  const blocks = (depth + INPUTS - 1) / INPUTS;
  const most = (depth + blocks - 1) / blocks;
  const strideX = <usize>ldx * 4;
  const strideY = <usize>ldy * 4;
  for (let r = 0; r < rows; r += ROWS) {
    const count = min(ROWS, rows - r);
    for (let k = 0; k < depth; k += most) {
      const part = min(most, depth - k);
      if (transposed) packTransposed(workspace, x + <usize>k * strideX + <usize>r * 4, strideX, count, part);
      else packInputs(workspace, x + <usize>r * strideX + <usize>k * 4, strideX, count, part);
      multiplyBlock(
        y + <usize>r * strideY,
        strideY,
        panels,
        F32,
        count,
        from + k,
        part,
        inputs,
        outputs,
        add || k > 0,
        workspace,
      );
    }
  }
}

/** Groups of 4 columns of `x`; what lies beyond the last column comes along and ends in rows that are not stored. */
function packTransposed(to: usize, x: usize, ldx: usize, rows: i32, depth: i32): void {
  for (let r = 0; r < rows; r += 4) {
    let from = x + <usize>r * 4;
    for (let k = 0; k < depth; k++) {
      v128.store(to, v128.load(from));
      to += 16;
      from += ldx;
    }
  }
}

/** Panels `first … first + count - 1` of a matrix `[rows, inputs]` whose rows are `ld` numbers apart. */
export function packPanels(
  panels: usize,
  source: usize,
  ld: i32,
  rows: i32,
  inputs: i32,
  first: i32,
  count: i32,
): void {
  const bytes = panelBytes(F32, inputs);
  const stride = <usize>ld * 4;
  for (let panel = first; panel < first + count; panel++) {
    const to = panels + <usize>panel * bytes;
    const from = source + <usize>panel * 8 * stride;
    const present = min(8, rows - panel * 8);
    if (present == 8) packPanel(to, from, stride, inputs);
    else {
      memory.fill(to, 0, bytes);
      for (let r = 0; r < present; r++) {
        for (let k = 0; k < inputs; k++) {
          const at = to + (<usize>k * 8 + r) * 4;
          store<f32>(at, load<f32>(from + <usize>r * stride + <usize>k * 4));
        }
      }
    }
  }
}

/** Transposes 8 rows, 4 at a time. */
function packPanel(to: usize, from: usize, stride: usize, inputs: i32): void {
  transpose4(to, from, stride, inputs, 32);
  transpose4(to + 16, from + 4 * stride, stride, inputs, 32);
}

/**
 * Panels `first … first + count - 1` of the transpose of a matrix `[inputs, rows]` whose rows are `ld` numbers apart. What
 * lies beyond the last column comes along and ends in outputs that are not stored.
 */
export function packTransposedPanels(
  panels: usize,
  source: usize,
  ld: i32,
  inputs: i32,
  first: i32,
  count: i32,
): void {
  const bytes = panelBytes(F32, inputs);
  for (let panel = first; panel < first + count; panel++) {
    let to = panels + <usize>panel * bytes;
    let from = source + <usize>panel * 32;
    for (let k = 0; k < inputs; k++) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      to += 32;
      from += <usize>ld * 4;
    }
  }
}
