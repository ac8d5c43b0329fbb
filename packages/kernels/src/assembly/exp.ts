import { madd } from "./madd";

/**
 * `e^x` of four numbers, relative error below 2e-7; 0 below -87, finite above 88.
 *
 * `x = n ln 2 + r`, `|r| <= ln(2)/2`, `e^r = 1 + r + r^2 q(r)` with `q` interpolating at the Chebyshev nodes (error
 * 1e-8), and `2^n` added to the exponent bits. `ln 2` is split so that `n * LN2_HIGH` is exact.
 */
@inline
export function exp4(x: v128): v128 {
  const visible = f32x4.ge(x, f32x4.splat(-87));
  const bounded = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87)), f32x4.splat(88));
  // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
  const shifter = f32x4.splat(12582912);
  const shifted = f32x4.add(f32x4.mul(bounded, f32x4.splat(LOG2_E)), shifter);
  const n = f32x4.sub(shifted, shifter);
  let r = f32x4.sub(bounded, f32x4.mul(n, f32x4.splat(LN2_HIGH)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(LN2_LOW)));
  let q = f32x4.add(f32x4.mul(r, f32x4.splat(0.0013926175888627768)), f32x4.splat(0.008363173343241215));
  q = f32x4.add(f32x4.mul(q, r), f32x4.splat(0.041666556149721146));
  q = f32x4.add(f32x4.mul(q, r), f32x4.splat(0.16666577756404877));
  q = f32x4.add(f32x4.mul(q, r), f32x4.splat(0.5));
  const p = f32x4.add(f32x4.add(f32x4.mul(f32x4.mul(r, r), q), r), f32x4.splat(1));
  return v128.and(i32x4.add(p, i32x4.shl(shifted, 23)), visible);
}

/**
 * `2^x` of four numbers that are not above 0, relative error below 3e-7; 2^-126 below -126.
 *
 * `x = n + r`, `|r| <= 1/2`, `2^r = 1 + r p(r)` with `p` interpolating at the Chebyshev nodes, and `2^n` added to the
 * exponent bits. Nothing but the last two steps rounds, so no constant has to be split.
 */
@inline
export function powerOfTwo4(x: v128): v128 {
  const bounded = f32x4.pmax(x, f32x4.splat(-126));
  const shifter = f32x4.splat(12582912);
  const shifted = f32x4.add(bounded, shifter);
  const r = f32x4.sub(bounded, f32x4.sub(shifted, shifter));
  let p = madd(f32x4.splat(0.00966636851538443), f32x4.splat(0.0013381302537300043), r);
  p = madd(f32x4.splat(0.05550381013796492), p, r);
  p = madd(f32x4.splat(0.24022349038020388), p, r);
  p = madd(f32x4.splat(0.6931471805599453), p, r);
  p = madd(f32x4.splat(1), p, r);
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** `2^x` of a number that is not above 0. */
@inline
export function powerOfTwo(x: f32): f32 {
  return f32x4.extract_lane(powerOfTwo4(f32x4.splat(x)), 0);
}

export const LOG2_E: f32 = 1.4426950408889634;
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -0.00021219444005471377;

/** Sum of the four lanes. */
@inline
export function sum4(x: v128): f32 {
  const pairs = f32x4.add(x, v128.shuffle<f32>(x, x, 2, 3, 0, 1));
  return f32x4.extract_lane(pairs, 0) + f32x4.extract_lane(pairs, 1);
}
