import { LOG2_E } from "./exp";
import { madd } from "./madd";
import { RUN, Task } from "./task";

/**
 * Logits of query rows with cached rows as they lie in memory: `scale * (q_a . k_a + q_b . k_b)`. Each accumulator sums
 * every fourth component of both products; the four accumulators of a query are transposed and added once, at the end.
 * `r0 …` are indices of query rows, `keysA` and `keysB` the first cached row of each part, `strideA` the bytes from one to the
 * next of part A, and `left` the number of rows from there on: where there are fewer than 4, the last stands in for the missing ones, behind which there may be no
 * memory. Results of the next query follow `RUN` numbers later.
 *
 * Tiles have 8 or 9 accumulators. With 12 (3x4) the engine moves some to memory in every step: a third slower.
 */

/** Three queries with three keys; the fourth number stored is without meaning. */
export function scoreTile3x3(
  task: Task,
  r0: usize,
  r1: usize,
  r2: usize,
  keysA: usize,
  strideA: usize,
  keysB: usize,
  left: i32,
  to: usize,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let c0 = a0;
  let c1 = a0;
  let c2 = a0;
  let width = task.widthA;
  let query = task.queryA;
  let k0 = keysA;
  let stride = strideA;
  for (let part = 0; part < 2; part++) {
    if (width) {
      const q0 = query + r0 * <usize>width * 4;
      const q1 = query + r1 * <usize>width * 4;
      const q2 = query + r2 * <usize>width * 4;
      const k1 = left > 1 ? k0 + stride : k0;
      const k2 = left > 2 ? k1 + stride : k1;
      const whole = <usize>(width & ~3) * 4;
      let i: usize = 0;
      for (; i < whole; i += 16) {
        const x = v128.load(q0 + i);
        const y = v128.load(q1 + i);
        const z = v128.load(q2 + i);
        let k = v128.load(k0 + i);
        a0 = madd(a0, x, k);
        b0 = madd(b0, y, k);
        c0 = madd(c0, z, k);
        k = v128.load(k1 + i);
        a1 = madd(a1, x, k);
        b1 = madd(b1, y, k);
        c1 = madd(c1, z, k);
        k = v128.load(k2 + i);
        a2 = madd(a2, x, k);
        b2 = madd(b2, y, k);
        c2 = madd(c2, z, k);
      }
      for (const end = <usize>width * 4; i < end; i += 4) {
        const x = v128.load32_zero(q0 + i);
        const y = v128.load32_zero(q1 + i);
        const z = v128.load32_zero(q2 + i);
        let k = v128.load32_zero(k0 + i);
        a0 = madd(a0, x, k);
        b0 = madd(b0, y, k);
        c0 = madd(c0, z, k);
        k = v128.load32_zero(k1 + i);
        a1 = madd(a1, x, k);
        b1 = madd(b1, y, k);
        c1 = madd(c1, z, k);
        k = v128.load32_zero(k2 + i);
        a2 = madd(a2, x, k);
        b2 = madd(b2, y, k);
        c2 = madd(c2, z, k);
      }
    }
    width = task.widthB;
    query = task.queryB;
    k0 = keysB;
    stride = <usize>task.strideB * 4;
  }
  const scale = f32x4.splat(task.scale * LOG2_E);
  v128.store(to, f32x4.mul(sums4(a0, a1, a2, a2), scale));
  v128.store(to, f32x4.mul(sums4(b0, b1, b2, b2), scale), RUN * 4);
  v128.store(to, f32x4.mul(sums4(c0, c1, c2, c2), scale), RUN * 8);
}

/** Two queries with four keys. */
export function scoreTile2x4(
  task: Task,
  r0: usize,
  r1: usize,
  keysA: usize,
  strideA: usize,
  keysB: usize,
  left: i32,
  to: usize,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  let width = task.widthA;
  let query = task.queryA;
  let k0 = keysA;
  let stride = strideA;
  for (let part = 0; part < 2; part++) {
    if (width) {
      const q0 = query + r0 * <usize>width * 4;
      const q1 = query + r1 * <usize>width * 4;
      const k1 = left > 1 ? k0 + stride : k0;
      const k2 = left > 2 ? k1 + stride : k1;
      const k3 = left > 3 ? k2 + stride : k2;
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
    }
    width = task.widthB;
    query = task.queryB;
    k0 = keysB;
    stride = <usize>task.strideB * 4;
  }
  const scale = f32x4.splat(task.scale * LOG2_E);
  v128.store(to, f32x4.mul(sums4(a0, a1, a2, a3), scale));
  v128.store(to, f32x4.mul(sums4(b0, b1, b2, b3), scale), RUN * 4);
}

/** One query with four keys. */
export function scoreTile1x4(
  task: Task,
  r0: usize,
  keysA: usize,
  strideA: usize,
  keysB: usize,
  left: i32,
  to: usize,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let width = task.widthA;
  let query = task.queryA;
  let k0 = keysA;
  let stride = strideA;
  for (let part = 0; part < 2; part++) {
    if (width) {
      const q0 = query + r0 * <usize>width * 4;
      const k1 = left > 1 ? k0 + stride : k0;
      const k2 = left > 2 ? k1 + stride : k1;
      const k3 = left > 3 ? k2 + stride : k2;
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
    }
    width = task.widthB;
    query = task.queryB;
    k0 = keysB;
    stride = <usize>task.strideB * 4;
  }
  const scale = f32x4.splat(task.scale * LOG2_E);
  v128.store(to, f32x4.mul(sums4(a0, a1, a2, a3), scale));
}

/** The sums of the lanes of four vectors. */
@inline
function sums4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}
