/** Steps of the table per unit of the exponent of two. */
const PARTS = 128;
const STEP = Math.LN2 / PARTS;
const PER_STEP = PARTS * Math.LOG2E;
/** Below this the result, some 1e-44, counts as zero: beside the `exp(0)` of a largest logit no float64 shows it. */
const LEAST = -100;

/** `2^(-n / 128)` */
const powers = Float64Array.from(
  { length: 1 + Math.ceil(-LEAST / STEP) },
  (_, n) => 2 ** (-n / PARTS),
);

/**
 * `exp(x)` of `x <= 0` to a relative 1e-11, several times as fast as `Math.exp`: `x = -n ln 2 / 128 + r` with `|r| <= ln 2 / 256`, and the
 * first four terms of the series of `exp(r)`. NaN gives NaN, below -100 the result is 0.
 */
export function exponential(x: number): number {
  if (x < LEAST) return 0;
  const n = (0.5 - x * PER_STEP) | 0;
  const r = x + n * STEP;
  return (1 + r + r * r * (1 / 2 + r * (1 / 6))) * powers[n]!;
}
