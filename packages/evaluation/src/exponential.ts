/** Splits `ln 2` so that multiples of the first part up to 2^11 are exact. */
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;

/** `2^-n`; beyond the smallest normal number everything counts as zero. */
const halvings = Float64Array.from({ length: 1023 }, (_, n) => 2 ** -n);
const LEAST = -708;

/**
 * `exp(x)` of `x <= 0` to a relative 1e-11, a few times as fast as `Math.exp`: `x = -n ln 2 + r` with `|r| <= ln 2 / 2`, and the first ten
 * terms of the series of `exp(r)`. NaN gives NaN, below -708 the result is 0.
 */
export function exponential(x: number): number {
  if (x < LEAST) return 0;
  const n = (0.5 - x * Math.LOG2E) | 0;
  const r = x + n * LN2_HIGH + n * LN2_LOW;
  const high = 1 / 120 + r * (1 / 720 + r * (1 / 5040 + r * (1 / 40320 + r / 362880)));
  return (1 + r * (1 + r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * high))))) * halvings[n]!;
}
