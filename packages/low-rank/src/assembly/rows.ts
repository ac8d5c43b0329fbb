import { madd } from "./madd";

/** out[0 … n-1] += sum over r < count of coefficients[r] rows[r], the rows `stride` numbers apart. */
export function addRows(
  out: usize,
  coefficients: usize,
  rows: usize,
  stride: i32,
  count: i32,
  n: i32,
): void {
  const rowBytes = <usize>stride * 8;
  let r = 0;
  for (; r + 4 <= count; r += 4) {
    const f0 = v128.load64_splat(coefficients);
    const f1 = v128.load64_splat(coefficients, 8);
    const f2 = v128.load64_splat(coefficients, 16);
    const f3 = v128.load64_splat(coefficients, 24);
    const r1 = rows + rowBytes;
    const r2 = r1 + rowBytes;
    const r3 = r2 + rowBytes;
    const end = <usize>(n & ~1) * 8;
    let t: usize = 0;
    for (; t < end; t += 16) {
      let y = madd(v128.load(out + t), f0, v128.load(rows + t));
      y = madd(y, f1, v128.load(r1 + t));
      y = madd(y, f2, v128.load(r2 + t));
      v128.store(out + t, madd(y, f3, v128.load(r3 + t)));
    }
    if (n & 1) {
      const low =
        load<f64>(coefficients) * load<f64>(rows + t) +
        load<f64>(coefficients, 8) * load<f64>(r1 + t);
      const high =
        load<f64>(coefficients, 16) * load<f64>(r2 + t) +
        load<f64>(coefficients, 24) * load<f64>(r3 + t);
      store<f64>(out + t, load<f64>(out + t) + (low + high));
    }
    coefficients += 32;
    rows += 4 * rowBytes;
  }
  for (; r < count; r++) {
    addRow(out, load<f64>(coefficients), rows, n);
    coefficients += 8;
    rows += rowBytes;
  }
}

function addRow(out: usize, coefficient: f64, row: usize, n: i32): void {
  const f = f64x2.splat(coefficient);
  const end = <usize>(n & ~1) * 8;
  let t: usize = 0;
  for (; t < end; t += 16) {
    v128.store(out + t, madd(v128.load(out + t), f, v128.load(row + t)));
  }
  if (n & 1) store<f64>(out + t, load<f64>(out + t) + coefficient * load<f64>(row + t));
}

/** out[r] = rows[r] · x over n numbers, for r < count. */
export function multiplyRows(
  out: usize,
  rows: usize,
  stride: i32,
  x: usize,
  count: i32,
  n: i32,
): void {
  const rowBytes = <usize>stride * 8;
  let r = 0;
  for (; r + 4 <= count; r += 4) {
    const r1 = rows + rowBytes;
    const r2 = r1 + rowBytes;
    const r3 = r2 + rowBytes;
    let s0 = f64x2.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    const end = <usize>(n & ~1) * 8;
    let t: usize = 0;
    for (; t < end; t += 16) {
      const u = v128.load(x + t);
      s0 = madd(s0, u, v128.load(rows + t));
      s1 = madd(s1, u, v128.load(r1 + t));
      s2 = madd(s2, u, v128.load(r2 + t));
      s3 = madd(s3, u, v128.load(r3 + t));
    }
    const rest = n & 1 ? load<f64>(x + t) : 0;
    store<f64>(out, sum(s0) + (n & 1 ? rest * load<f64>(rows + t) : 0));
    store<f64>(out, sum(s1) + (n & 1 ? rest * load<f64>(r1 + t) : 0), 8);
    store<f64>(out, sum(s2) + (n & 1 ? rest * load<f64>(r2 + t) : 0), 16);
    store<f64>(out, sum(s3) + (n & 1 ? rest * load<f64>(r3 + t) : 0), 24);
    out += 32;
    rows += 4 * rowBytes;
  }
  for (; r < count; r++) {
    store<f64>(out, dot(rows, x, n));
    out += 8;
    rows += rowBytes;
  }
}

export function dot(x: usize, y: usize, n: i32): f64 {
  let s0 = f64x2.splat(0);
  let s1 = s0;
  let t: usize = 0;
  for (const end = <usize>(n & ~3) * 8; t < end; t += 32) {
    s0 = madd(s0, v128.load(x + t), v128.load(y + t));
    s1 = madd(s1, v128.load(x + t, 16), v128.load(y + t, 16));
  }
  let total = sum(f64x2.add(s0, s1));
  for (const end = <usize>n * 8; t < end; t += 8) total += load<f64>(x + t) * load<f64>(y + t);
  return total;
}

@inline
export function sum(pair: v128): f64 {
  return f64x2.extract_lane(pair, 0) + f64x2.extract_lane(pair, 1);
}
