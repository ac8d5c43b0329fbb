import { madd } from "./madd";
import { exp4, sum4 } from "./exp";

/** Gradients of `rmsNorm` for `groups` groups of `width` numbers; that of the weight is added to `dWeight`. */
export function rmsNormBackward(
  dx: usize,
  dWeight: usize,
  x: usize,
  weight: usize,
  dy: usize,
  groups: i32,
  width: i32,
  epsilon: f32,
): void {
  const whole = <usize>(width & ~3) * 4;
  const end = <usize>width * 4;
  for (let g = 0; g < groups; g++) {
    let squares4 = f32x4.splat(0);
    let dots4 = f32x4.splat(0);
    let i: usize = 0;
    for (; i < whole; i += 16) {
      const v = v128.load(x + i);
      squares4 = madd(squares4, v, v);
      dots4 = madd(dots4, f32x4.mul(v128.load(dy + i), v128.load(weight + i)), v);
    }
    let squares = sum4(squares4);
    let dots = sum4(dots4);
    for (; i < end; i += 4) {
      const v = load<f32>(x + i);
      squares += v * v;
      dots += load<f32>(dy + i) * load<f32>(weight + i) * v;
    }
    const square = squares / <f32>width + epsilon;
    const inverse: f32 = 1 / sqrt<f32>(square);
    const pull = (dots / (<f32>width * square)) * inverse;
    const inverses = f32x4.splat(inverse);
    const pulls = f32x4.splat(-pull);
    i = 0;
    for (; i < whole; i += 16) {
      const v = v128.load(x + i);
      const d = f32x4.mul(v128.load(dy + i), inverses);
      v128.store(dWeight + i, madd(v128.load(dWeight + i), d, v));
      v128.store(dx + i, madd(f32x4.mul(d, v128.load(weight + i)), pulls, v));
    }
    for (; i < end; i += 4) {
      const v = load<f32>(x + i);
      const d = load<f32>(dy + i) * inverse;
      store<f32>(dWeight + i, load<f32>(dWeight + i) + d * v);
      store<f32>(dx + i, d * load<f32>(weight + i) - pull * v);
    }
    x += end;
    dy += end;
    dx += end;
  }
}

/** Gradients of `gatedActivation`; the last step reads and writes up to 12 bytes beyond. */
export function gatedActivationBackward(
  dGate: usize,
  dUp: usize,
  gate: usize,
  up: usize,
  dy: usize,
  count: i32,
  gelu: bool,
): void {
  const one = f32x4.splat(1);
  for (let i: usize = 0; i < <usize>count * 4; i += 16) {
    const x = v128.load(gate + i);
    const d = v128.load(dy + i);
    // Both activations are x sigmoid(z): sigmoid + x sigmoid (1 - sigmoid) z'.
    let z = x;
    let slope = one;
    if (gelu) {
      const square = f32x4.mul(x, x);
      z = f32x4.mul(f32x4.mul(x, f32x4.splat(1.5957691216057308)), madd(one, square, f32x4.splat(0.044715)));
      slope = f32x4.mul(f32x4.splat(1.5957691216057308), madd(one, square, f32x4.splat(0.134145)));
    }
    const sigmoid = f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(z))));
    // Below -87 exponentials overflow and activation and slope are below 1e-35.
    const seen = f32x4.ge(z, f32x4.splat(-87));
    const activation = v128.and(f32x4.mul(x, sigmoid), seen);
    const rest = f32x4.mul(f32x4.mul(activation, f32x4.sub(one, sigmoid)), slope);
    v128.store(dUp + i, f32x4.mul(d, activation));
    const dActivation = v128.and(f32x4.add(sigmoid, rest), seen);
    v128.store(dGate + i, f32x4.mul(f32x4.mul(d, v128.load(up + i)), dActivation));
  }
}

/** `dx = (1 - (y / cap)^2) dy`; the last step reads and writes up to 12 bytes beyond. */
export function softCapBackward(dx: usize, y: usize, dy: usize, cap: f32, count: i32): void {
  const inverses = f32x4.splat(1 / cap);
  const one = f32x4.splat(1);
  for (let i: usize = 0; i < <usize>count * 4; i += 16) {
    const ratio = f32x4.mul(v128.load(y + i), inverses);
    const slope = f32x4.sub(one, f32x4.mul(ratio, ratio));
    v128.store(dx + i, f32x4.mul(v128.load(dy + i), slope));
  }
}

/** Sums of `columns` columns of `rows` rows that are `ld` numbers apart. */
export function columnSums(to: usize, x: usize, rows: i32, columns: i32, ld: i32): void {
  memory.fill(to, 0, <usize>columns * 4);
  for (let r = 0; r < rows; r++) {
    let i: usize = 0;
    for (; i < <usize>(columns & ~3) * 4; i += 16) {
      v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(x + i)));
    }
    for (; i < <usize>columns * 4; i += 4) store<f32>(to + i, load<f32>(to + i) + load<f32>(x + i));
    x += <usize>ld * 4;
  }
}

/** Sum of squares in float64, of which what float32 drops goes to the second number. */
export function sumOfSquares(to: usize, x: usize, count: i32): void {
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  let i: usize = 0;
  for (const whole = <usize>(count & ~3) * 4; i < whole; i += 16) {
    const v = v128.load(x + i);
    const a = f64x2.promote_low_f32x4(v);
    const b = f64x2.promote_low_f32x4(v128.shuffle<f32>(v, v, 2, 3, 0, 1));
    low = f64x2.add(low, f64x2.mul(a, a));
    high = f64x2.add(high, f64x2.mul(b, b));
  }
  const both = f64x2.add(low, high);
  let sum = f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
  for (; i < <usize>count * 4; i += 4) {
    const v = <f64>load<f32>(x + i);
    sum += v * v;
  }
  const rounded = <f32>sum;
  store<f32>(to, rounded);
  store<f32>(to, <f32>(sum - <f64>rounded), 4);
}

/** `to[rows[t]] += factor * x[t]` for `columns` columns; rows are `ld` numbers apart. */
export function addRows(to: usize, rows: usize, x: usize, factor: f32, count: i32, columns: i32, ld: i32): void {
  const factors = f32x4.splat(factor);
  for (let t = 0; t < count; t++) {
    const target = to + <usize>load<i32>(rows + <usize>t * 4) * ld * 4;
    const from = x + <usize>t * ld * 4;
    let i: usize = 0;
    for (; i < <usize>(columns & ~3) * 4; i += 16) {
      v128.store(target + i, madd(v128.load(target + i), factors, v128.load(from + i)));
    }
    for (; i < <usize>columns * 4; i += 4) {
      store<f32>(target + i, load<f32>(target + i) + factor * load<f32>(from + i));
    }
  }
}

/** `to = value`, `count` numbers. */
export function fill(to: usize, value: f32, count: i32): void {
  for (let i: usize = 0; i < <usize>count * 4; i += 4) store<f32>(to + i, value);
}

/** Nearest bfloat16, of two the even one, as float32; what is no number stays so. */
export function roundToBf16(y: usize, x: usize, count: i32): void {
  const half = i32x4.splat(0x7fff);
  const one = i32x4.splat(1);
  const mask = i32x4.splat(0xffff0000);
  const quiet = i32x4.splat(0x400000);
  for (let i: usize = 0; i < <usize>count * 4; i += 16) {
    const bits = v128.load(x + i);
    const odd = v128.and(i32x4.shr_u(bits, 16), one);
    const rounded = i32x4.add(i32x4.add(bits, half), odd);
    const number = f32x4.eq(bits, bits);
    v128.store(y + i, v128.and(v128.bitselect(rounded, v128.or(bits, quiet), number), mask));
  }
}

/**
 * A step of AdamW, see `AdamW` in training-device.ts: `rateFirst = rate / (1 - beta1^t)`, `inverseSecond = 1 / (1 - beta2^t)`,
 * `keep = 1 - rate decay`. The last step reads and writes up to 12 bytes beyond, which the allocator rounds blocks up to.
 */
export function adamW(
  parameter: usize,
  gradient: usize,
  first: usize,
  second: usize,
  count: i32,
  rateFirst: f32,
  beta1: f32,
  beta2: f32,
  inverseSecond: f32,
  epsilon: f32,
  keep: f32,
  factor: f32,
): void {
  const b1 = f32x4.splat(beta1);
  const b2 = f32x4.splat(beta2);
  const c1 = f32x4.splat(1 - beta1);
  const c2 = f32x4.splat(1 - beta2);
  for (let i: usize = 0; i < <usize>count * 4; i += 16) {
    const g = f32x4.mul(v128.load(gradient + i), f32x4.splat(factor));
    const m = f32x4.add(f32x4.mul(b1, v128.load(first + i)), f32x4.mul(c1, g));
    const v = f32x4.add(f32x4.mul(b2, v128.load(second + i)), f32x4.mul(c2, f32x4.mul(g, g)));
    v128.store(first + i, m);
    v128.store(second + i, v);
    const root = f32x4.sqrt(f32x4.mul(v, f32x4.splat(inverseSecond)));
    const move = f32x4.div(f32x4.mul(m, f32x4.splat(rateFirst)), f32x4.add(root, f32x4.splat(epsilon)));
    const kept = f32x4.mul(v128.load(parameter + i), f32x4.splat(keep));
    v128.store(parameter + i, f32x4.sub(kept, move));
  }
}
