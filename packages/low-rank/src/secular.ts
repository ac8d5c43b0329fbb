import { LowRankError } from "./errors";

/**
 * Eigenvalues of diag(d) + rho z zᵀ (d strictly ascending, rho > 0, no z zero): the roots of
 *
 *   f(x) = 1 + rho sum_j z_j² / (d_j - x),
 *
 * one in each interval (d_i, d_i+1), the last in (d_last, d_last + rho |z|²).
 */
export interface SecularRoots {
  /** Ascending, `[k]`. */
  readonly values: Float64Array;
  /**
   * `[k, k]`: row i holds d_j - root_i. Each root is found as a distance from its nearer pole, so
   * these keep full relative accuracy, which `d[j] - values[i]` would lose.
   */
  readonly differences: Float64Array;
}

/** Bisection alone needs about 100 steps to the smallest root that deflation lets through. */
const MAX_STEPS = 400;

/** @throws LowRankError NoConvergence */
export function secularRoots(d: Float64Array, z: Float64Array, rho: number): SecularRoots {
  const k = d.length;
  const values = new Float64Array(k);
  const differences = new Float64Array(k * k);
  const weights = z.map((value) => rho * value * value);
  let total = 0;
  for (const weight of weights) total += weight;
  for (let i = 0; i < k; i += 1) {
    const row = differences.subarray(i * k, (i + 1) * k);
    const gap = i + 1 < k ? d[i + 1] - d[i] : total;
    const nearLeft = i + 1 === k || valueAt(d, weights, d[i], gap / 2) >= 0;
    const origin = nearLeft ? d[i] : d[i + 1];
    for (let j = 0; j < k; j += 1) row[j] = d[j] - origin;
    // The bracket is (low, high) around the pole at 0; the last root may touch its far end.
    let low = nearLeft ? 0 : -gap / 2;
    let high = nearLeft ? gap / 2 : 0;
    if (i + 1 === k) high = gap * (1 + 4 * Number.EPSILON);
    const shift = findRoot(row, weights, i, low, high);
    for (let j = 0; j < k; j += 1) row[j] -= shift;
    values[i] = origin + shift;
  }
  return { values, differences };
}

function valueAt(d: Float64Array, weights: Float64Array, origin: number, x: number): number {
  let sum = 1;
  for (let j = 0; j < d.length; j += 1) sum += weights[j] / (d[j] - origin - x);
  return sum;
}

/**
 * The root of 1 + sum weights_j / (poles_j - x) in (low, high), which lies between poles i and i + 1.
 *
 * Each step replaces the poles up to i, and those above it, by one pole with the same value and
 * slope, and solves the quadratic that is left (Bunch, Nielsen, Sorensen 1978); a step that leaves
 * the bracket, or three that do not halve it, is replaced by bisection.
 */
function findRoot(
  poles: Float64Array,
  weights: Float64Array,
  i: number,
  low: number,
  high: number,
): number {
  const k = poles.length;
  let x = low + (high - low) / 2;
  let checkpoint = high - low;
  for (let step = 1; step <= MAX_STEPS; step += 1) {
    let left = 0;
    let leftSlope = 0;
    for (let j = 0; j <= i; j += 1) {
      const inverse = 1 / (poles[j] - x);
      left += weights[j] * inverse;
      leftSlope += weights[j] * inverse * inverse;
    }
    let right = 0;
    let rightSlope = 0;
    for (let j = i + 1; j < k; j += 1) {
      const inverse = 1 / (poles[j] - x);
      right += weights[j] * inverse;
      rightSlope += weights[j] * inverse * inverse;
    }
    const f = 1 + left + right;
    if (Math.abs(f) <= 4 * Number.EPSILON * (1 + right - left)) return x;
    if (f < 0) low = x;
    else high = x;

    const dl = poles[i] - x;
    const dr = i + 1 < k ? poles[i + 1] - x : 1;
    const c = f - leftSlope * dl - (i + 1 < k ? rightSlope * dr : 0);
    let next =
      i + 1 < k
        ? x + twoPoleStep(c, dl, dr, leftSlope * dl * dl, rightSlope * dr * dr)
        : x + dl + (leftSlope * dl * dl) / c;
    let bisect = !(next > low && next < high);
    if (step % 3 === 0) {
      bisect ||= high - low > checkpoint / 2;
      checkpoint = high - low;
    }
    if (bisect) next = low + (high - low) / 2;
    if (next === x || next <= low || next >= high) return x;
    x = next;
  }
  throw new LowRankError("NoConvergence", "a secular equation did not converge", { root: i });
}

/** The step s between the poles with c + p / (dl - s) + q / (dr - s) = 0, where dl < s < dr. */
function twoPoleStep(c: number, dl: number, dr: number, p: number, q: number): number {
  // c s² - b s + e = 0
  const b = c * (dl + dr) + p + q;
  const e = c * dl * dr + p * dr + q * dl;
  const root = Math.sqrt(Math.max(0, b * b - 4 * c * e));
  return b <= 0 ? (b - root) / (2 * c) : (2 * e) / (b + root);
}
