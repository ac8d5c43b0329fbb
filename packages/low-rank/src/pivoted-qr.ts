import { createKernels } from "./kernels";
import type { Kernels, Pointer } from "./kernels";
import { addProduct, transposed, view } from "./matmul";
import { makeReflector } from "./reflectors";
import type { Reflectors } from "./reflectors";
import { dot, scale, swapRuns } from "./vector";

/** A P = Q R for A `[length, count]`, length >= count. */
export interface PivotedQr {
  /** Q = H_0 H_1 …. */
  readonly reflectors: Reflectors;
  /** Columns of R as rows `[count, count]`: row j holds R[0 … j, j]. */
  readonly rColumns: Float64Array;
  /** Column j of A P is column order[j] of A. */
  readonly order: Int32Array;
}

/** Columns reduced before the rest is brought up to date, in one product. */
const PANEL = 32;

/** The columns of A as rows `[count, length]` of the kernels' memory, then what a panel needs. */
interface Workspace {
  readonly kernels: Kernels;
  readonly count: number;
  readonly length: number;
  /** Row p, `[count]`, holds what step p of the panel subtracts: a_j -= f[p, j] u_p. */
  readonly f: Pointer;
  /** `[count]`, a row of A. */
  readonly row: Pointer;
  /** `[PANEL]`. */
  readonly coefficients: Pointer;
}

/**
 * Householder QR, the largest remaining column first (Businger and Golub 1965). The columns of A
 * come as rows of a `[count, length]` array.
 *
 * Within a panel only the pivot column and the pivot row are brought up to date, the rest follows in one
 * product (Quintana-Ortí, Sun, Bischof 1998). The panel ends early when a norm must be measured again.
 */
export function pivotedQr(columns: Float64Array, count: number, length: number): PivotedQr {
  const workspace = createWorkspace(columns, count, length);
  const a = workspace.kernels.numbers;
  const order = Int32Array.from({ length: count }, (_, i) => i);
  const rColumns = new Float64Array(count * count);
  const tau = new Float64Array(count);
  const norms = new Float64Array(count);
  const measured = new Float64Array(count);
  const measure = (j: number, from: number) => {
    const run = j * length + from;
    norms[j] = Math.sqrt(dot(a, run, a, run, length - from));
    measured[j] = norms[j];
  };
  for (let j = 0; j < count; j += 1) measure(j, 0);
  for (let start = 0, end = 0; start < count; start = end) {
    const cancelled: number[] = [];
    while (end < Math.min(count, start + PANEL) && cancelled.length === 0) {
      const k = end;
      let pivot = k;
      for (let j = k + 1; j < count; j += 1) if (norms[j] > norms[pivot]) pivot = j;
      if (pivot !== k) {
        swapColumns(workspace, start, k, pivot);
        [order[k], order[pivot]] = [order[pivot], order[k]];
        norms[pivot] = norms[k];
        measured[pivot] = measured[k];
      }
      const reflector = reduceColumn(workspace, start, k);
      tau[k] = reflector.tau;
      rColumns.set(a.subarray(k * length, k * length + k), k * count);
      rColumns[k * count + k] = reflector.alpha;
      // What stands before the reflector belongs to R; the reflectors want zeros there.
      a.fill(0, k * length, k * length + k);
      for (let j = k + 1; j < count; j += 1) {
        const rest = norms[j] ** 2 - a[j * length + k] ** 2;
        // Downdating loses the digits that cancel: measure again before half of them are gone.
        if (rest > 1e-8 * measured[j] ** 2) norms[j] = Math.sqrt(rest);
        else cancelled.push(j);
      }
      end += 1;
    }
    subtractPanel(workspace, start, end);
    for (const j of cancelled) measure(j, end);
  }
  return { reflectors: { count, length, vectors: a, tau }, rColumns, order };
}

function createWorkspace(columns: Float64Array, count: number, length: number): Workspace {
  const f = count * length;
  const row = f + PANEL * count;
  const coefficients = row + count;
  const kernels = createKernels(coefficients + PANEL);
  kernels.numbers.set(columns);
  return { kernels, count, length, f, row, coefficients };
}

function swapColumns(
  { kernels, count, length, f }: Workspace,
  start: number,
  i: number,
  j: number,
): void {
  swapRuns(kernels.numbers, i * length, j * length, length);
  for (let p = 0; p < i - start; p += 1) {
    swapRuns(kernels.numbers, f + p * count + i, f + p * count + j, 1);
  }
}

/** Step p = k - start of a panel: makes u_k, row p of f, and row k of all columns to the right. */
function reduceColumn(
  { kernels, count, length, f, row, coefficients }: Workspace,
  start: number,
  k: number,
): { tau: number; alpha: number } {
  const a = kernels.numbers;
  const p = k - start;
  const next = k + 1;
  const own = k * length + k;
  /** The panel's reflectors so far, from component k on. */
  const earlier = start * length + k;
  for (let q = 0; q < p; q += 1) a[coefficients + q] = -a[f + q * count + k];
  kernels.addRows(own, coefficients, earlier, length, p, length - k);
  const reflector = makeReflector(a, own, length - k);

  // f[p, j] = tau (a_j - sum over q < p of f[q, j] u_q) · u
  const target = f + p * count + next;
  kernels.multiplyRows(target, own + length, length, own, count - next, length - k);
  kernels.multiplyRows(coefficients, earlier, length, own, p, length - k);
  scale(a, coefficients, p, -1);
  kernels.addRows(target, coefficients, f + next, count, p, count - next);
  scale(a, target, count - next, reflector.tau);

  for (let q = 0; q <= p; q += 1) a[coefficients + q] = -a[earlier + q * length];
  a.fill(0, row, row + count - next);
  kernels.addRows(row, coefficients, f + next, count, p + 1, count - next);
  for (let j = next; j < count; j += 1) a[j * length + k] += a[row + j - next];
  return reflector;
}

/** a_j -= sum of f[p, j] u_p for the columns and components from `end` on. */
function subtractPanel({ kernels, count, length, f }: Workspace, start: number, end: number): void {
  const a = kernels.numbers;
  const left = transposed(view(a, count, f + end));
  const right = view(a, length, start * length + end);
  const out = view(a, length, end * (length + 1));
  addProduct(out, left, right, count - end, length - end, end - start, { sign: -1 });
}
