import { exp4 } from "./exp";
import { madd } from "./madd";

/** Below this the series is used: there `1 - 2 / (e^2u + 1)` would lose the digits of a small result. */
const SMALL: f32 = 0.3;

/**
 * `cap * tanh(x * inverse)` of four numbers, `inverse = 1 / cap`, relative error below 5e-7.
 *
 * `tanh(u) = 1 - 2 / (e^2u + 1)` for `u >= 0.3`, its odd Taylor series (five terms) below; the sign is put back.
 */
@inline
export function softCap4(x: v128, cap: v128, inverse: v128): v128 {
  const u = f32x4.mul(x, inverse);
  const size = f32x4.abs(u);
  // e^20 and more give 1.
  const power = exp4(f32x4.pmin(f32x4.add(size, size), f32x4.splat(20)));
  const large = f32x4.sub(f32x4.splat(1), f32x4.div(f32x4.splat(2), f32x4.add(power, f32x4.splat(1))));
  const square = f32x4.mul(u, u);
  let p = madd(f32x4.splat(-0.05396825396825397), f32x4.splat(0.021869488536155203), square);
  p = madd(f32x4.splat(0.13333333333333333), p, square);
  p = madd(f32x4.splat(-0.3333333333333333), p, square);
  const small = madd(size, f32x4.mul(size, square), p);
  const tanh = v128.bitselect(small, large, f32x4.lt(size, f32x4.splat(SMALL)));
  const sign = v128.and(u, i32x4.splat(0x80000000));
  return f32x4.mul(v128.or(tanh, sign), cap);
}
