/**
 * `sum + x * y` of pairs. The relaxed build rounds once where the machine has a fused instruction: within one engine and
 * machine the result is always the same.
 */
@inline
export function madd(sum: v128, x: v128, y: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f64x2.relaxed_madd(x, y, sum);
  return f64x2.add(sum, f64x2.mul(x, y));
}
