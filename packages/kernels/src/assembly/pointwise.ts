import { madd } from "./madd";
import { exp4, sum4 } from "./exp";
import { softCap4 } from "./soft-cap";

/** `y = a + b`, `count` numbers. */
export function add(y: usize, a: usize, b: usize, count: i32): void {
  let i: usize = 0;
  for (const whole = <usize>(count & ~3) * 4; i < whole; i += 16) {
    v128.store(y + i, f32x4.add(v128.load(a + i), v128.load(b + i)));
  }
  for (; i < <usize>count * 4; i += 4) store<f32>(y + i, load<f32>(a + i) + load<f32>(b + i));
}

/** `y += factor * x`, `count` numbers. */
export function addScaled(y: usize, x: usize, factor: f32, count: i32): void {
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (const whole = <usize>(count & ~3) * 4; i < whole; i += 16) {
    v128.store(y + i, madd(v128.load(y + i), factors, v128.load(x + i)));
  }
  for (; i < <usize>count * 4; i += 4) {
    store<f32>(y + i, load<f32>(y + i) + factor * load<f32>(x + i));
  }
}

/** `y = x / sqrt(mean(x^2) + epsilon) * weight` for `groups` consecutive groups of `width` numbers. */
export function rmsNorm(
  y: usize,
  x: usize,
  weight: usize,
  groups: i32,
  width: i32,
  epsilon: f32,
): void {
  const whole = <usize>(width & ~3) * 4;
  const end = <usize>width * 4;
  for (let g = 0; g < groups; g++) {
    let squares = f32x4.splat(0);
    let i: usize = 0;
    for (; i < whole; i += 16) {
      const v = v128.load(x + i);
      squares = madd(squares, v, v);
    }
    let sum = sum4(squares);
    for (; i < end; i += 4) sum += load<f32>(x + i) * load<f32>(x + i);

    const factor: f32 = 1 / sqrt<f32>(sum / <f32>width + epsilon);
    const factors = f32x4.splat(factor);
    i = 0;
    for (; i < whole; i += 16) {
      v128.store(y + i, f32x4.mul(f32x4.mul(v128.load(x + i), factors), v128.load(weight + i)));
    }
    for (; i < end; i += 4) store<f32>(y + i, load<f32>(x + i) * factor * load<f32>(weight + i));
    x += end;
    y += end;
  }
}

/** `y = activation(gate) * up`, `count` numbers; the last step reads and writes up to 12 bytes beyond. */
export function gatedActivation(y: usize, gate: usize, up: usize, count: i32, gelu: bool): void {
  const end = <usize>count * 4;
  for (let i: usize = 0; i < end; i += 16) {
    const g = v128.load(gate + i);
    v128.store(y + i, f32x4.mul(gelu ? geluTanh4(g) : silu4(g), v128.load(up + i)));
  }
}

/** `x sigmoid(x)` */
@inline
function silu4(x: v128): v128 {
  return timesSigmoid4(x, x);
}

/** `x/2 (1 + tanh(u)) = x sigmoid(2u)` with `u = sqrt(2/pi) (x + 0.044715 x^3)` */
@inline
function geluTanh4(x: v128): v128 {
  const cubic = f32x4.mul(f32x4.mul(x, x), f32x4.splat(0.044715));
  const u = f32x4.mul(x, f32x4.add(cubic, f32x4.splat(1)));
  return timesSigmoid4(x, f32x4.mul(u, f32x4.splat(1.5957691216057308)));
}

/** `x / (1 + e^-z)`; exactly 0 for `z` below -87, where `e^-z` overflows and the result would be below 1e-35. */
@inline
function timesSigmoid4(x: v128, z: v128): v128 {
  const denominator = f32x4.add(f32x4.splat(1), exp4(f32x4.neg(z)));
  return v128.and(f32x4.div(x, denominator), f32x4.ge(z, f32x4.splat(-87)));
}

/** Rotates `heads` heads of every token; `cos` and `sin` are tables `[positions, half]`. */
export function rope(
  y: usize,
  x: usize,
  cos: usize,
  sin: usize,
  positions: usize,
  tokens: i32,
  heads: i32,
  half: i32,
): void {
  const whole = <usize>(half & ~3) * 4;
  const end = <usize>half * 4;
  for (let t = 0; t < tokens; t++) {
    const row = <usize>load<i32>(positions + <usize>t * 4) * end;
    for (let head = 0; head < heads; head++) {
      let i: usize = 0;
      for (; i < whole; i += 16) {
        const c = v128.load(cos + row + i);
        const s = v128.load(sin + row + i);
        const re = v128.load(x + i);
        const im = v128.load(x + end + i);
        v128.store(y + i, f32x4.sub(f32x4.mul(re, c), f32x4.mul(im, s)));
        v128.store(y + end + i, madd(f32x4.mul(re, s), im, c));
      }
      for (; i < end; i += 4) {
        const c = load<f32>(cos + row + i);
        const s = load<f32>(sin + row + i);
        const re = load<f32>(x + i);
        const im = load<f32>(x + end + i);
        store<f32>(y + i, re * c - im * s);
        store<f32>(y + end + i, re * s + im * c);
      }
      x += 2 * end;
      y += 2 * end;
    }
  }
}

/** `y = factor * y`, `count` numbers. */
export function scale(y: usize, factor: f32, count: i32): void {
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (const whole = <usize>(count & ~3) * 4; i < whole; i += 16) {
    v128.store(y + i, f32x4.mul(v128.load(y + i), factors));
  }
  for (; i < <usize>count * 4; i += 4) store<f32>(y + i, load<f32>(y + i) * factor);
}

/** `y = cap * tanh(x / cap)`, `count` numbers; the last step reads and writes up to 12 bytes beyond. */
export function softCap(y: usize, x: usize, cap: f32, count: i32): void {
  const caps = f32x4.splat(cap);
  const inverses = f32x4.splat(1 / cap);
  const end = <usize>count * 4;
  for (let i: usize = 0; i < end; i += 16) {
    v128.store(y + i, softCap4(v128.load(x + i), caps, inverses));
  }
}

/** Index of the first largest of every row, as float32. */
export function argmax(y: usize, x: usize, rows: i32, columns: i32): void {
  for (let t = 0; t < rows; t++) {
    let best = 0;
    let largest = load<f32>(x);
    for (let i = 1; i < columns; i++) {
      const value = load<f32>(x + <usize>i * 4);
      if (value > largest) {
        largest = value;
        best = i;
      }
    }
    store<f32>(y, <f32>best);
    x += <usize>columns * 4;
    y += 4;
  }
}
