import { madd } from "./madd";

/**
 * out += left right for packed panels: `left` holds groups of 4 rows as `[group][steps][4]`, `right` groups of 4 columns in
 * the same way, and `out` is row-major `[4 rowGroups, stride]`. Tiles that lie wholly below the diagonal are skipped:
 * those with row > column + `below`.
 */
export function multiplyPanels(
  out: usize,
  stride: i32,
  left: usize,
  right: usize,
  rowGroups: i32,
  columnGroups: i32,
  steps: i32,
  below: i32,
): void {
  const panel = <usize>steps * 32;
  const rowBytes = <usize>stride * 8;
  for (let j = 0; j < columnGroups; j++) {
    const last = min(rowGroups, (4 * j + 3 + below + 4) >> 2);
    let a = left;
    let c = out;
    for (let i = 0; i < last; i++) {
      tile(c, rowBytes, a, right, steps);
      a += panel;
      c += rowBytes * 4;
    }
    right += panel;
    out += 32;
  }
}

/**
 * Eight running pairs, two of `right`, one of `left` and one product fit the 16 registers of x64. Two steps with an exit
 * after each are faster than longer straight-line code, which V8 spills.
 */
function tile(c: usize, rowBytes: usize, a: usize, b: usize, k: i32): void {
  let c00 = f64x2.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  while (true) {
    let b0 = v128.load(b, 0);
    let b1 = v128.load(b, 16);
    let x = v128.load64_splat(a, 0);
    c00 = madd(c00, x, b0);
    c01 = madd(c01, x, b1);
    x = v128.load64_splat(a, 8);
    c10 = madd(c10, x, b0);
    c11 = madd(c11, x, b1);
    x = v128.load64_splat(a, 16);
    c20 = madd(c20, x, b0);
    c21 = madd(c21, x, b1);
    x = v128.load64_splat(a, 24);
    c30 = madd(c30, x, b0);
    c31 = madd(c31, x, b1);
    if (k == 1) break;

    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load64_splat(a, 32);
    c00 = madd(c00, x, b0);
    c01 = madd(c01, x, b1);
    x = v128.load64_splat(a, 40);
    c10 = madd(c10, x, b0);
    c11 = madd(c11, x, b1);
    x = v128.load64_splat(a, 48);
    c20 = madd(c20, x, b0);
    c21 = madd(c21, x, b1);
    x = v128.load64_splat(a, 56);
    c30 = madd(c30, x, b0);
    c31 = madd(c31, x, b1);
    if (k == 2) break;

    a += 64;
    b += 64;
    k -= 2;
  }
  addPair(c, c00, c01);
  addPair(c + rowBytes, c10, c11);
  addPair(c + 2 * rowBytes, c20, c21);
  addPair(c + 3 * rowBytes, c30, c31);
}

@inline
function addPair(c: usize, left: v128, right: v128): void {
  v128.store(c, f64x2.add(v128.load(c), left));
  v128.store(c, f64x2.add(v128.load(c, 16), right), 16);
}
