import { exp4, sum4 } from "./exp";

/** Largest of `count` numbers. */
function largestOf(x: usize, count: i32): f32 {
  const whole = <usize>(count & ~3) * 4;
  let largest4 = f32x4.splat(load<f32>(x));
  let i: usize = 0;
  for (; i < whole; i += 16) largest4 = f32x4.pmax(largest4, v128.load(x + i));
  let largest = max(
    max(f32x4.extract_lane(largest4, 0), f32x4.extract_lane(largest4, 1)),
    max(f32x4.extract_lane(largest4, 2), f32x4.extract_lane(largest4, 3)),
  );
  for (; i < <usize>count * 4; i += 4) largest = max(largest, load<f32>(x + i));
  return largest;
}

/** `y = e^(factor (x - shift))`; returns the sum. */
function exponentials(y: usize, x: usize, count: i32, shift: f32, factor: f32): f32 {
  const whole = <usize>(count & ~3) * 4;
  const shifts = f32x4.splat(shift);
  const factors = f32x4.splat(factor);
  let sums = f32x4.splat(0);
  let i: usize = 0;
  for (; i < whole; i += 16) {
    const e = exp4(f32x4.mul(f32x4.sub(v128.load(x + i), shifts), factors));
    v128.store(y + i, e);
    sums = f32x4.add(sums, e);
  }
  let sum = sum4(sums);
  for (; i < <usize>count * 4; i += 4) {
    const e = f32x4.extract_lane(exp4(f32x4.splat((load<f32>(x + i) - shift) * factor)), 0);
    store<f32>(y + i, e);
    sum += e;
  }
  return sum;
}

function scaleRow(y: usize, factor: f32, count: i32): void {
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (; i < <usize>(count & ~3) * 4; i += 16) v128.store(y + i, f32x4.mul(v128.load(y + i), factors));
  for (; i < <usize>count * 4; i += 4) store<f32>(y + i, load<f32>(y + i) * factor);
}

/** Losses `[rows]` and gradients `[rows, columns]`; rows of weight 0 get zeros. */
export function crossEntropy(
  losses: usize,
  gradient: usize,
  logits: usize,
  targets: usize,
  weights: usize,
  rows: i32,
  columns: i32,
): void {
  for (let t = 0; t < rows; t++) {
    const weight = load<f32>(weights + <usize>t * 4);
    const row = <usize>t * columns * 4;
    if (weight == 0) {
      memory.fill(gradient + row, 0, <usize>columns * 4);
      store<f32>(losses + <usize>t * 4, 0);
      continue;
    }
    const place = <usize>load<i32>(targets + <usize>t * 4) * 4 + row;
    const largest = largestOf(logits + row, columns);
    const sum = exponentials(gradient + row, logits + row, columns, largest, 1);
    scaleRow(gradient + row, weight / sum, columns);
    store<f32>(gradient + place, load<f32>(gradient + place) - weight);
    store<f32>(losses + <usize>t * 4, weight * (Mathf.log(sum) + largest - load<f32>(logits + place)));
  }
}

/**
 * Losses `[rows]` and gradients `[rows, columns]` of `T^2 KL(p, q)`, `p` of the teacher. With `a` and `b` the logits over `T`,
 * less their largest, `KL = sum p (a - b) - log sum e^a + log sum e^b`.
 */
export function divergence(
  losses: usize,
  gradient: usize,
  logits: usize,
  teacher: usize,
  weights: usize,
  temperature: f32,
  rows: i32,
  columns: i32,
): void {
  const inverse: f32 = 1 / temperature;
  for (let t = 0; t < rows; t++) {
    const weight = load<f32>(weights + <usize>t * 4);
    const row = <usize>t * columns * 4;
    if (weight == 0) {
      memory.fill(gradient + row, 0, <usize>columns * 4);
      store<f32>(losses + <usize>t * 4, 0);
      continue;
    }
    const largestQ = largestOf(logits + row, columns);
    const largestP = largestOf(teacher + row, columns);
    const sumQ = exponentials(gradient + row, logits + row, columns, largestQ, inverse);
    const whole = <usize>(columns & ~3) * 4;
    let sums = f32x4.splat(0);
    const factor = weight * temperature;
    const shiftsP = f32x4.splat(largestP);
    const shiftsQ = f32x4.splat(largestQ);
    const inverses = f32x4.splat(inverse);
    let i: usize = 0;
    let low = f64x2.splat(0);
    for (; i < whole; i += 16) {
      const a = f32x4.mul(f32x4.sub(v128.load(teacher + row + i), shiftsP), inverses);
      const b = f32x4.mul(f32x4.sub(v128.load(logits + row + i), shiftsQ), inverses);
      const e = exp4(a);
      sums = f32x4.add(sums, e);
      const part = f32x4.mul(e, f32x4.sub(a, b));
      low = f64x2.add(low, f64x2.promote_low_f32x4(part));
      low = f64x2.add(low, f64x2.promote_low_f32x4(v128.shuffle<f32>(part, part, 2, 3, 0, 1)));
    }
    let sumP = sum4(sums);
    let mean = f64x2.extract_lane(low, 0) + f64x2.extract_lane(low, 1);
    for (; i < <usize>columns * 4; i += 4) {
      const a = (load<f32>(teacher + row + i) - largestP) * inverse;
      const e = f32x4.extract_lane(exp4(f32x4.splat(a)), 0);
      sumP += e;
      mean += <f64>(e * (a - (load<f32>(logits + row + i) - largestQ) * inverse));
    }
    differences(gradient + row, teacher + row, columns, largestP, inverse, factor / sumQ, factor / sumP);
    const kl = mean / <f64>sumP - <f64>Mathf.log(sumP) + <f64>Mathf.log(sumQ);
    store<f32>(losses + <usize>t * 4, weight * temperature * temperature * <f32>max<f64>(0, kl));
  }
}

/**
 * `y = forQ y - forP e^((teacher - shift) inverse)`. Both products are rounded, never one fused with the difference: equal
 * distributions must have no gradient, since Adam would make whole steps of what rounding leaves.
 */
function differences(y: usize, teacher: usize, count: i32, shift: f32, inverse: f32, forQ: f32, forP: f32): void {
  const shifts = f32x4.splat(shift);
  const inverses = f32x4.splat(inverse);
  const factorsQ = f32x4.splat(forQ);
  const factorsP = f32x4.splat(forP);
  let i: usize = 0;
  for (; i < <usize>(count & ~3) * 4; i += 16) {
    const e = exp4(f32x4.mul(f32x4.sub(v128.load(teacher + i), shifts), inverses));
    v128.store(y + i, f32x4.sub(f32x4.mul(v128.load(y + i), factorsQ), f32x4.mul(e, factorsP)));
  }
  for (; i < <usize>count * 4; i += 4) {
    const e = f32x4.extract_lane(exp4(f32x4.splat((load<f32>(teacher + i) - shift) * inverse)), 0);
    store<f32>(y + i, forQ * load<f32>(y + i) - forP * e);
  }
}
