import { madd } from "./madd";
import { sum } from "./rows";

/**
 * out = A u for the symmetric matrix whose upper triangle of `size` rows starts at `a`: element (i, j), i <= j, is at
 * a[i * stride + j]. Four rows at a time, each element read once for both places it stands for: the work is bound by
 * reading A.
 */
export function symmetricTimesVector(
  out: usize,
  a: usize,
  stride: i32,
  u: usize,
  size: i32,
): void {
  memory.fill(out, 0, <usize>size * 8);
  const rowBytes = <usize>stride * 8;
  let i = 0;
  for (; i + 4 <= size; i += 4) {
    corner(out, a, rowBytes, u, 4);
    strip(out, a, rowBytes, u, size - i - 4);
    a += 4 * rowBytes + 32;
    out += 32;
    u += 32;
  }
  corner(out, a, rowBytes, u, size - i);
}

/** The block on the diagonal. */
function corner(out: usize, a: usize, rowBytes: usize, u: usize, size: i32): void {
  for (let i = 0; i < size; i++) {
    let total = load<f64>(out + i * 8);
    for (let j = 0; j < size; j++) {
      const above = <usize>min(i, j) * rowBytes + max(i, j) * 8;
      total += load<f64>(a + above) * load<f64>(u + j * 8);
    }
    store<f64>(out + i * 8, total);
  }
}

/** The `columns` columns to the right of that block, and their mirror image below it. */
function strip(out: usize, a: usize, rowBytes: usize, u: usize, columns: i32): void {
  const u0 = v128.load64_splat(u);
  const u1 = v128.load64_splat(u, 8);
  const u2 = v128.load64_splat(u, 16);
  const u3 = v128.load64_splat(u, 24);
  let s0 = f64x2.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let a0 = a + 32;
  let a1 = a0 + rowBytes;
  let a2 = a1 + rowBytes;
  let a3 = a2 + rowBytes;
  let x = u + 32;
  let p = out + 32;
  for (let k = columns >> 1; k > 0; k--) {
    const y = v128.load(x);
    let m = v128.load(a0);
    s0 = madd(s0, m, y);
    let q = madd(v128.load(p), m, u0);
    m = v128.load(a1);
    s1 = madd(s1, m, y);
    q = madd(q, m, u1);
    m = v128.load(a2);
    s2 = madd(s2, m, y);
    q = madd(q, m, u2);
    m = v128.load(a3);
    s3 = madd(s3, m, y);
    v128.store(p, madd(q, m, u3));
    a0 += 16;
    a1 += 16;
    a2 += 16;
    a3 += 16;
    x += 16;
    p += 16;
  }
  let t0 = sum(s0);
  let t1 = sum(s1);
  let t2 = sum(s2);
  let t3 = sum(s3);
  if (columns & 1) {
    const y = load<f64>(x);
    t0 += load<f64>(a0) * y;
    t1 += load<f64>(a1) * y;
    t2 += load<f64>(a2) * y;
    t3 += load<f64>(a3) * y;
    const low = load<f64>(a0) * load<f64>(u) + load<f64>(a1) * load<f64>(u, 8);
    const high = load<f64>(a2) * load<f64>(u, 16) + load<f64>(a3) * load<f64>(u, 24);
    store<f64>(p, load<f64>(p) + (low + high));
  }
  store<f64>(out, load<f64>(out) + t0);
  store<f64>(out, load<f64>(out, 8) + t1, 8);
  store<f64>(out, load<f64>(out, 16) + t2, 16);
  store<f64>(out, load<f64>(out, 24) + t3, 24);
}
