import { makeReflector } from "./reflectors";
import type { Reflectors } from "./reflectors";
import { axpy, dot, swapRuns } from "./vector";

/** A P = Q R for A `[length, count]`, length >= count. */
export interface PivotedQr {
  /** Q = H_0 H_1 …. */
  readonly reflectors: Reflectors;
  /** Columns of R as rows `[count, count]`: row j holds R[0 … j, j]. */
  readonly rColumns: Float64Array;
  /** Column j of A P is column order[j] of A. */
  readonly order: Int32Array;
}

/**
 * Householder QR, the largest remaining column first (Businger and Golub 1965). The columns of A
 * come as rows of a `[count, length]` array, which is overwritten.
 */
export function pivotedQr(columns: Float64Array, count: number, length: number): PivotedQr {
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const rColumns = new Float64Array(count * count);
  const tau = new Float64Array(count);
  const norms = new Float64Array(count);
  const measured = new Float64Array(count);
  const measure = (j: number, from: number) => {
    const run = j * length + from;
    norms[j] = Math.sqrt(dot(columns, run, columns, run, length - from));
    measured[j] = norms[j];
  };
  for (let j = 0; j < count; j += 1) measure(j, 0);
  for (let k = 0; k < count; k += 1) {
    let pivot = k;
    for (let j = k + 1; j < count; j += 1) if (norms[j] > norms[pivot]) pivot = j;
    if (pivot !== k) {
      swapRuns(columns, k * length, pivot * length, length);
      [order[k], order[pivot]] = [order[pivot], order[k]];
      norms[pivot] = norms[k];
      measured[pivot] = measured[k];
    }
    const own = k * length + k;
    const reflector = makeReflector(columns, own, length - k);
    tau[k] = reflector.tau;
    rColumns.set(columns.subarray(k * length, own), k * count);
    rColumns[k * count + k] = reflector.alpha;
    for (let j = k + 1; j < count; j += 1) {
      const run = j * length + k;
      const overlap = reflector.tau * dot(columns, own, columns, run, length - k);
      axpy(-overlap, columns, own, columns, run, length - k);
      const rest = norms[j] ** 2 - columns[run] ** 2;
      // Downdating loses the digits that cancel: measure again before half of them are gone.
      if (rest > 1e-8 * measured[j] ** 2) norms[j] = Math.sqrt(rest);
      else measure(j, k + 1);
    }
    // What stands before the reflector belongs to R; the reflectors want zeros there.
    columns.fill(0, k * length, own);
  }
  return { reflectors: { count, length, vectors: columns, tau }, rColumns, order };
}
