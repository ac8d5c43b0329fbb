/** Inner loops over contiguous runs of a Float64Array; `a + i` means the run that starts at i. */

/** sum over t < n of x[i + t] y[j + t], in four interleaved partial sums. */
export function dot(x: Float64Array, i: number, y: Float64Array, j: number, n: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let t = 0;
  for (; t + 3 < n; t += 4) {
    s0 += x[i + t] * y[j + t];
    s1 += x[i + t + 1] * y[j + t + 1];
    s2 += x[i + t + 2] * y[j + t + 2];
    s3 += x[i + t + 3] * y[j + t + 3];
  }
  for (; t < n; t += 1) s0 += x[i + t] * y[j + t];
  return s0 + s1 + (s2 + s3);
}

/** y[j + t] += factor x[i + t]. */
export function axpy(
  factor: number,
  x: Float64Array,
  i: number,
  y: Float64Array,
  j: number,
  n: number,
): void {
  for (let t = 0; t < n; t += 1) y[j + t] += factor * x[i + t];
}

/** The plane rotation (x, y) <- (c x + s y, c y - s x) of the runs at i and j. */
export function rotate(
  data: Float64Array,
  i: number,
  j: number,
  n: number,
  c: number,
  s: number,
): void {
  for (let t = 0; t < n; t += 1) {
    const x = data[i + t];
    const y = data[j + t];
    data[i + t] = c * x + s * y;
    data[j + t] = c * y - s * x;
  }
}

export function scale(data: Float64Array, i: number, n: number, factor: number): void {
  for (let t = i; t < i + n; t += 1) data[t] *= factor;
}

/** to[j + t] = from[i + t]. */
export function copyRun(
  from: Float64Array,
  i: number,
  to: Float64Array,
  j: number,
  n: number,
): void {
  // The engine's copy is quicker, its call is not.
  if (n > 32) to.set(from.subarray(i, i + n), j);
  else for (let t = 0; t < n; t += 1) to[j + t] = from[i + t];
}

export function swapRuns(data: Float64Array, i: number, j: number, n: number): void {
  for (let t = 0; t < n; t += 1) {
    const x = data[i + t];
    data[i + t] = data[j + t];
    data[j + t] = x;
  }
}

export function maxAbs(data: Float64Array): number {
  let largest = 0;
  for (let i = 0; i < data.length; i += 1) largest = Math.max(largest, Math.abs(data[i]));
  return largest;
}

/** The power of two next to `size`: dividing by it is exact and keeps squares from overflowing. */
export function powerOfTwo(size: number): number {
  return size === 0 ? 1 : 2 ** Math.max(-1021, Math.min(1022, Math.floor(Math.log2(size))));
}

/**
 * Squared norms at or below this, of data whose largest element is near 1, count as zero: they lose
 * digits to underflow, and their reciprocals overflow.
 */
export const NEGLIGIBLE_SQUARE = 1e-290;

/** Indices of `values` from largest to smallest; equal values keep their order. */
export function descendingOrder(values: Float64Array): number[] {
  return Array.from(values, (_, i) => i).toSorted((i, j) => values[j] - values[i] || i - j);
}

/**
 * The sign that makes the leading component of a run positive. "Leading" is the first whose
 * magnitude is within one part in a million of the largest, so that rounding cannot move it.
 */
export function leadingSign(data: Float64Array, i: number, n: number): 1 | -1 {
  let largest = 0;
  for (let t = i; t < i + n; t += 1) largest = Math.max(largest, Math.abs(data[t]));
  for (let t = i; t < i + n; t += 1) {
    if (Math.abs(data[t]) >= largest * (1 - 1e-6)) return data[t] < 0 ? -1 : 1;
  }
  return 1;
}
