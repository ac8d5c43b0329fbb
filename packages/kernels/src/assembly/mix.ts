import { madd } from "./madd";
import { RUN } from "./task";
import { areVectorsWide } from "./wide";

/** Weighted sums of value rows as they lie in the cache, added to the outputs. `stride` and `bytes` are in bytes. */

/** Four rows of weights (`RUN` numbers apart), 8 columns at a time; `bytes` is a multiple of 32. */
export function mix4(
  o0: usize,
  o1: usize,
  o2: usize,
  o3: usize,
  weights: usize,
  values: usize,
  stride: usize,
  count: i32,
  bytes: usize,
): void {
  const end = weights + <usize>count * 4;
  let column: usize = 0;
  if (areVectorsWide()) {
    for (; column + 64 <= bytes; column += 64) {
      mix4x16(o0 + column, o1 + column, o2 + column, o3 + column, weights, values + column, stride, end);
    }
  }
  for (; column < bytes; column += 32) {
    let a0 = v128.load(o0 + column);
    let a1 = v128.load(o0 + column, 16);
    let b0 = v128.load(o1 + column);
    let b1 = v128.load(o1 + column, 16);
    let c0 = v128.load(o2 + column);
    let c1 = v128.load(o2 + column, 16);
    let d0 = v128.load(o3 + column);
    let d1 = v128.load(o3 + column, 16);
    let value = values + column;
    for (let w = weights; w < end; w += 4) {
      const v0 = v128.load(value);
      const v1 = v128.load(value, 16);
      let p = v128.load32_splat(w);
      a0 = madd(a0, p, v0);
      a1 = madd(a1, p, v1);
      p = v128.load32_splat(w, RUN * 4);
      b0 = madd(b0, p, v0);
      b1 = madd(b1, p, v1);
      p = v128.load32_splat(w, RUN * 8);
      c0 = madd(c0, p, v0);
      c1 = madd(c1, p, v1);
      p = v128.load32_splat(w, RUN * 12);
      d0 = madd(d0, p, v0);
      d1 = madd(d1, p, v1);
      value += stride;
    }
    v128.store(o0 + column, a0);
    v128.store(o0 + column, a1, 16);
    v128.store(o1 + column, b0);
    v128.store(o1 + column, b1, 16);
    v128.store(o2 + column, c0);
    v128.store(o2 + column, c1, 16);
    v128.store(o3 + column, d0);
    v128.store(o3 + column, d1, 16);
  }
}

/** 16 columns: see `tile4x16`. */
function mix4x16(
  o0: usize,
  o1: usize,
  o2: usize,
  o3: usize,
  weights: usize,
  value: usize,
  stride: usize,
  end: usize,
): void {
  let a0 = v128.load(o0);
  let a1 = v128.load(o0, 16);
  let a2 = v128.load(o0, 32);
  let a3 = v128.load(o0, 48);
  let b0 = v128.load(o1);
  let b1 = v128.load(o1, 16);
  let b2 = v128.load(o1, 32);
  let b3 = v128.load(o1, 48);
  let c0 = v128.load(o2);
  let c1 = v128.load(o2, 16);
  let c2 = v128.load(o2, 32);
  let c3 = v128.load(o2, 48);
  let d0 = v128.load(o3);
  let d1 = v128.load(o3, 16);
  let d2 = v128.load(o3, 32);
  let d3 = v128.load(o3, 48);
  for (let w = weights; w < end; w += 4) {
    const v0 = v128.load(value);
    const v1 = v128.load(value, 16);
    const v2 = v128.load(value, 32);
    const v3 = v128.load(value, 48);
    const p = v128.load32_splat(w);
    a0 = madd(a0, p, v0);
    a1 = madd(a1, p, v1);
    a2 = madd(a2, p, v2);
    a3 = madd(a3, p, v3);
    const q = v128.load32_splat(w, RUN * 4);
    b0 = madd(b0, q, v0);
    b1 = madd(b1, q, v1);
    b2 = madd(b2, q, v2);
    b3 = madd(b3, q, v3);
    const r = v128.load32_splat(w, RUN * 8);
    c0 = madd(c0, r, v0);
    c1 = madd(c1, r, v1);
    c2 = madd(c2, r, v2);
    c3 = madd(c3, r, v3);
    const s = v128.load32_splat(w, RUN * 12);
    d0 = madd(d0, s, v0);
    d1 = madd(d1, s, v1);
    d2 = madd(d2, s, v2);
    d3 = madd(d3, s, v3);
    value += stride;
  }
  v128.store(o0, a0);
  v128.store(o0, a1, 16);
  v128.store(o0, a2, 32);
  v128.store(o0, a3, 48);
  v128.store(o1, b0);
  v128.store(o1, b1, 16);
  v128.store(o1, b2, 32);
  v128.store(o1, b3, 48);
  v128.store(o2, c0);
  v128.store(o2, c1, 16);
  v128.store(o2, c2, 32);
  v128.store(o2, c3, 48);
  v128.store(o3, d0);
  v128.store(o3, d1, 16);
  v128.store(o3, d2, 32);
  v128.store(o3, d3, 48);
}

/** One row of weights, 16 columns (a cache line) at a time. */
export function mix1(
  output: usize,
  weights: usize,
  values: usize,
  stride: usize,
  count: i32,
  bytes: usize,
): void {
  const end = weights + <usize>count * 4;
  let column: usize = 0;
  for (; column + 64 <= bytes; column += 64) {
    let a0 = v128.load(output + column);
    let a1 = v128.load(output + column, 16);
    let a2 = v128.load(output + column, 32);
    let a3 = v128.load(output + column, 48);
    let value = values + column;
    for (let w = weights; w < end; w += 4) {
      const p = v128.load32_splat(w);
      a0 = madd(a0, p, v128.load(value));
      a1 = madd(a1, p, v128.load(value, 16));
      a2 = madd(a2, p, v128.load(value, 32));
      a3 = madd(a3, p, v128.load(value, 48));
      value += stride;
    }
    v128.store(output + column, a0);
    v128.store(output + column, a1, 16);
    v128.store(output + column, a2, 32);
    v128.store(output + column, a3, 48);
  }
  for (; column < bytes; column += 32) {
    let a0 = v128.load(output + column);
    let a1 = v128.load(output + column, 16);
    let value = values + column;
    for (let w = weights; w < end; w += 4) {
      const p = v128.load32_splat(w);
      a0 = madd(a0, p, v128.load(value));
      a1 = madd(a1, p, v128.load(value, 16));
      value += stride;
    }
    v128.store(output + column, a0);
    v128.store(output + column, a1, 16);
  }
}
