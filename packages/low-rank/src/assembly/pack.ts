/** Panels `[row / 4][step][4]` of sign * x for `x [rows, steps]`; rows that are missing in the last group become zero. */
export function packRows(to: usize, x: usize, rows: i32, steps: i32, sign: f64): void {
  const s = f64x2.splat(sign);
  const rowBytes = <usize>steps * 8;
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    const x1 = x + rowBytes;
    const x2 = x1 + rowBytes;
    const x3 = x2 + rowBytes;
    let t: usize = 0;
    for (const end = <usize>(steps & ~1) * 8; t < end; t += 16) {
      const p0 = f64x2.mul(s, v128.load(x + t));
      const p1 = f64x2.mul(s, v128.load(x1 + t));
      const p2 = f64x2.mul(s, v128.load(x2 + t));
      const p3 = f64x2.mul(s, v128.load(x3 + t));
      v128.store(to, v128.shuffle<f64>(p0, p1, 0, 2));
      v128.store(to, v128.shuffle<f64>(p2, p3, 0, 2), 16);
      v128.store(to, v128.shuffle<f64>(p0, p1, 1, 3), 32);
      v128.store(to, v128.shuffle<f64>(p2, p3, 1, 3), 48);
      to += 64;
    }
    if (steps & 1) {
      store<f64>(to, sign * load<f64>(x + t));
      store<f64>(to, sign * load<f64>(x1 + t), 8);
      store<f64>(to, sign * load<f64>(x2 + t), 16);
      store<f64>(to, sign * load<f64>(x3 + t), 24);
      to += 32;
    }
    x += 4 * rowBytes;
  }
  if (r < rows) packSome(to, x, 8, rowBytes, rows - r, steps, sign);
}

/** The same panels, `panelSteps` long, for `x [steps, rows]`, the transpose. */
export function packColumns(
  to: usize,
  panelSteps: i32,
  x: usize,
  rows: i32,
  steps: i32,
  sign: f64,
): void {
  const s = f64x2.splat(sign);
  const panel = <usize>panelSteps * 32;
  const rowBytes = <usize>rows * 8;
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    let from = x;
    let target = to;
    for (let k = 0; k < steps; k++) {
      v128.store(target, f64x2.mul(s, v128.load(from)));
      v128.store(target, f64x2.mul(s, v128.load(from, 16)), 16);
      from += rowBytes;
      target += 32;
    }
    x += 32;
    to += panel;
  }
  if (r < rows) packSome(to, x, rowBytes, 8, rows - r, steps, sign);
}

/** A group of fewer than four rows. */
function packSome(
  to: usize,
  x: usize,
  stepBytes: usize,
  rowBytes: usize,
  rows: i32,
  steps: i32,
  sign: f64,
): void {
  for (let k = 0; k < steps; k++) {
    for (let r = 0; r < 4; r++) {
      store<f64>(to, r < rows ? sign * load<f64>(x + r * rowBytes) : 0);
      to += 8;
    }
    x += stepBytes;
  }
}
