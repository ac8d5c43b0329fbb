import { madd } from "./madd";

/**
 * Dot products of query rows with key rows as they lie in the cache. Each accumulator sums every fourth component of one
 * product; the four accumulators of a query are transposed and added at the end.
 */

/** Two queries with four keys; the second row of results is `ldt` bytes behind the first. */
export function scoreTile2x4(
  q0: usize,
  q1: usize,
  k0: usize,
  k1: usize,
  k2: usize,
  k3: usize,
  width: i32,
  scale: v128,
  to: usize,
  ldt: usize,
  add: bool,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  const whole = <usize>(width & ~3) * 4;
  let i: usize = 0;
  for (; i < whole; i += 16) {
    const x = v128.load(q0 + i);
    const y = v128.load(q1 + i);
    let k = v128.load(k0 + i);
    a0 = madd(a0, x, k);
    b0 = madd(b0, y, k);
    k = v128.load(k1 + i);
    a1 = madd(a1, x, k);
    b1 = madd(b1, y, k);
    k = v128.load(k2 + i);
    a2 = madd(a2, x, k);
    b2 = madd(b2, y, k);
    k = v128.load(k3 + i);
    a3 = madd(a3, x, k);
    b3 = madd(b3, y, k);
  }
  for (const end = <usize>width * 4; i < end; i += 4) {
    const x = v128.load32_zero(q0 + i);
    const y = v128.load32_zero(q1 + i);
    let k = v128.load32_zero(k0 + i);
    a0 = madd(a0, x, k);
    b0 = madd(b0, y, k);
    k = v128.load32_zero(k1 + i);
    a1 = madd(a1, x, k);
    b1 = madd(b1, y, k);
    k = v128.load32_zero(k2 + i);
    a2 = madd(a2, x, k);
    b2 = madd(b2, y, k);
    k = v128.load32_zero(k3 + i);
    a3 = madd(a3, x, k);
    b3 = madd(b3, y, k);
  }
  storeScaled(to, sums4(a0, a1, a2, a3), scale, add);
  storeScaled(to + ldt, sums4(b0, b1, b2, b3), scale, add);
}

/** One query with four keys. */
export function scoreTile1x4(
  q0: usize,
  k0: usize,
  k1: usize,
  k2: usize,
  k3: usize,
  width: i32,
  scale: v128,
  to: usize,
  add: bool,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  const whole = <usize>(width & ~3) * 4;
  let i: usize = 0;
  for (; i < whole; i += 16) {
    const x = v128.load(q0 + i);
    a0 = madd(a0, x, v128.load(k0 + i));
    a1 = madd(a1, x, v128.load(k1 + i));
    a2 = madd(a2, x, v128.load(k2 + i));
    a3 = madd(a3, x, v128.load(k3 + i));
  }
  for (const end = <usize>width * 4; i < end; i += 4) {
    const x = v128.load32_zero(q0 + i);
    a0 = madd(a0, x, v128.load32_zero(k0 + i));
    a1 = madd(a1, x, v128.load32_zero(k1 + i));
    a2 = madd(a2, x, v128.load32_zero(k2 + i));
    a3 = madd(a3, x, v128.load32_zero(k3 + i));
  }
  storeScaled(to, sums4(a0, a1, a2, a3), scale, add);
}

/** The sums of the lanes of four vectors. */
@inline
function sums4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

@inline
function storeScaled(to: usize, sums: v128, scale: v128, add: bool): void {
  const scaled = f32x4.mul(sums, scale);
  v128.store(to, add ? f32x4.add(scaled, v128.load(to)) : scaled);
}
