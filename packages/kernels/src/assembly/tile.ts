import { madd } from "./madd";

/**
 * The innermost loop of the matrix product: 4 rows of `x` times one panel of 8 rows of `W`, over `k` inputs.
 * `a` holds the rows of `x` interleaved (`k` times 4 numbers), `b` the rows of `W` (`k` times 8 numbers); the result goes
 * to four rows from `c` on, `ldc` bytes apart, and is added to what is there if `add`.
 *
 * Eight accumulators, two weights, four inputs and one product fit the 15 registers that V8 has on x64. V8 moves all loads
 * of straight-line code to its front and spills what does not fit, so each step ends with an exit. Offsets of splats
 * take an instruction each where offsets of loads take none: `a` advances in every step, `b` in every fourth.
 */
export function tile4x8(a: usize, b: usize, k: i32, c: usize, ldc: usize, add: bool): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  while (true) {
    let b0 = v128.load(b);
    let b1 = v128.load(b, 16);
    let x = v128.load32_splat(a);
    c00 = madd(c00, x, b0);
    c01 = madd(c01, x, b1);
    x = v128.load32_splat(a, 4);
    c10 = madd(c10, x, b0);
    c11 = madd(c11, x, b1);
    x = v128.load32_splat(a, 8);
    c20 = madd(c20, x, b0);
    c21 = madd(c21, x, b1);
    x = v128.load32_splat(a, 12);
    c30 = madd(c30, x, b0);
    c31 = madd(c31, x, b1);
    if (k == 1) break;
    a += 16;

    b0 = v128.load(b, 32);
    b1 = v128.load(b, 48);
    x = v128.load32_splat(a);
    c00 = madd(c00, x, b0);
    c01 = madd(c01, x, b1);
    x = v128.load32_splat(a, 4);
    c10 = madd(c10, x, b0);
    c11 = madd(c11, x, b1);
    x = v128.load32_splat(a, 8);
    c20 = madd(c20, x, b0);
    c21 = madd(c21, x, b1);
    x = v128.load32_splat(a, 12);
    c30 = madd(c30, x, b0);
    c31 = madd(c31, x, b1);
    if (k == 2) break;
    a += 16;

    b0 = v128.load(b, 64);
    b1 = v128.load(b, 80);
    x = v128.load32_splat(a);
    c00 = madd(c00, x, b0);
    c01 = madd(c01, x, b1);
    x = v128.load32_splat(a, 4);
    c10 = madd(c10, x, b0);
    c11 = madd(c11, x, b1);
    x = v128.load32_splat(a, 8);
    c20 = madd(c20, x, b0);
    c21 = madd(c21, x, b1);
    x = v128.load32_splat(a, 12);
    c30 = madd(c30, x, b0);
    c31 = madd(c31, x, b1);
    if (k == 3) break;
    a += 16;

    b0 = v128.load(b, 96);
    b1 = v128.load(b, 112);
    x = v128.load32_splat(a);
    c00 = madd(c00, x, b0);
    c01 = madd(c01, x, b1);
    x = v128.load32_splat(a, 4);
    c10 = madd(c10, x, b0);
    c11 = madd(c11, x, b1);
    x = v128.load32_splat(a, 8);
    c20 = madd(c20, x, b0);
    c21 = madd(c21, x, b1);
    x = v128.load32_splat(a, 12);
    c30 = madd(c30, x, b0);
    c31 = madd(c31, x, b1);
    if (k == 4) break;
    a += 16;
    b += 128;
    k -= 4;
  }
  storeRow(c, c00, c01, add);
  storeRow(c + ldc, c10, c11, add);
  storeRow(c + 2 * ldc, c20, c21, add);
  storeRow(c + 3 * ldc, c30, c31, add);
}

@inline
export function storeRow(c: usize, left: v128, right: v128, add: bool): void {
  if (add) {
    left = f32x4.add(left, v128.load(c));
    right = f32x4.add(right, v128.load(c, 16));
  }
  v128.store(c, left);
  v128.store(c, right, 16);
}

/** The part of a tile that lies inside the result. */
export function storeEdge(y: usize, ldy: usize, edge: usize, rows: i32, columns: i32, add: bool): void {
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const target = y + <usize>r * ldy + <usize>c * 4;
      const value = load<f32>(edge + (<usize>r * 8 + c) * 4);
      store<f32>(target, add ? load<f32>(target) + value : value);
    }
  }
}

