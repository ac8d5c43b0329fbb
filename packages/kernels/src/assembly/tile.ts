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

/**
 * `tile4x8` for two panels at once, with the same bits. For engines that join the pairs of a row to 256 bits: eight accumulators
 * of that width keep two fused multiply-adds of four cycles busy, where `tile4x8` has four. With 128 bits it spills, and is slower.
 */
export function tile4x16(a: usize, left: usize, right: usize, k: i32, c: usize, ldc: usize, add: bool): void {
  let c00 = f32x4.splat(0);
  let c01 = f32x4.splat(0);
  let c02 = f32x4.splat(0);
  let c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0);
  let c11 = f32x4.splat(0);
  let c12 = f32x4.splat(0);
  let c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0);
  let c21 = f32x4.splat(0);
  let c22 = f32x4.splat(0);
  let c23 = f32x4.splat(0);
  let c30 = f32x4.splat(0);
  let c31 = f32x4.splat(0);
  let c32 = f32x4.splat(0);
  let c33 = f32x4.splat(0);
  for (; k > 0; k--) {
    const b0 = v128.load(left);
    const b1 = v128.load(left, 16);
    const b2 = v128.load(right);
    const b3 = v128.load(right, 16);
    const x0 = v128.load32_splat(a);
    c00 = madd(c00, x0, b0);
    c01 = madd(c01, x0, b1);
    c02 = madd(c02, x0, b2);
    c03 = madd(c03, x0, b3);
    const x1 = v128.load32_splat(a, 4);
    c10 = madd(c10, x1, b0);
    c11 = madd(c11, x1, b1);
    c12 = madd(c12, x1, b2);
    c13 = madd(c13, x1, b3);
    const x2 = v128.load32_splat(a, 8);
    c20 = madd(c20, x2, b0);
    c21 = madd(c21, x2, b1);
    c22 = madd(c22, x2, b2);
    c23 = madd(c23, x2, b3);
    const x3 = v128.load32_splat(a, 12);
    c30 = madd(c30, x3, b0);
    c31 = madd(c31, x3, b1);
    c32 = madd(c32, x3, b2);
    c33 = madd(c33, x3, b3);
    a += 16;
    left += 32;
    right += 32;
  }
  storeWideRow(c, c00, c01, c02, c03, add);
  storeWideRow(c + ldc, c10, c11, c12, c13, add);
  storeWideRow(c + 2 * ldc, c20, c21, c22, c23, add);
  storeWideRow(c + 3 * ldc, c30, c31, c32, c33, add);
}

/** Engines find pairs by stores that differ in nothing but an offset of 16. */
@inline
function storeWideRow(c: usize, c0: v128, c1: v128, c2: v128, c3: v128, add: bool): void {
  if (add) {
    c0 = f32x4.add(c0, v128.load(c));
    c1 = f32x4.add(c1, v128.load(c, 16));
    c2 = f32x4.add(c2, v128.load(c, 32));
    c3 = f32x4.add(c3, v128.load(c, 48));
  }
  v128.store(c, c0);
  v128.store(c, c1, 16);
  v128.store(c, c2, 32);
  v128.store(c, c3, 48);
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

