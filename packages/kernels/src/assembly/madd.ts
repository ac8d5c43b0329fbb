/**
 * `sum + x * y`. The relaxed build rounds once where the machine has a fused instruction; within one machine and build the
 * result is always the same.
 */
@inline
export function madd(sum: v128, x: v128, y: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(x, y, sum);
  return f32x4.add(sum, f32x4.mul(x, y));
}
