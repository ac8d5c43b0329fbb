import { matrix, requireSymmetric, transpose } from "./matrix";
import type { Matrix } from "./matrix";
import { applyReflectors } from "./reflectors";
import { tridiagonalise, tridiagonalWorkspace } from "./tridiagonal";
import { tridiagonalEigen } from "./tridiagonal-eigen";
import { descendingOrder, leadingSign, maxAbs, powerOfTwo, scale } from "./vector";

/** m = vectors diag(values) vectorsᵀ. */
export interface SymmetricEigen {
  /** Descending, `[n]`. */
  readonly values: Float64Array;
  /** `[n, n]`; column i belongs to `values[i]`. */
  readonly vectors: Matrix;
}

/**
 * Eigendecomposition of a real symmetric matrix: Householder tridiagonalisation, then divide and
 * conquer.
 *
 * Errors of the eigenvalues are a small multiple of 1e-16 times the largest magnitude among them;
 * eigenvalues far below that are noise. Each eigenvector is signed so that its leading component is
 * positive (the first within one part in a million of the largest magnitude), so the same input
 * gives the same output. The mean of (i, j) and (j, i) is taken.
 *
 * @throws LowRankError ShapeMismatch, NonFinite, NotSymmetric, NoConvergence
 */
export function eigh(m: Matrix): SymmetricEigen {
  requireSymmetric(m, "eigh");
  const { values, rows } = eigenRows(m.data, m.rows);
  return { values, vectors: transpose(matrix(m.rows, m.rows, rows)) };
}

/** As `eigh`, with the eigenvectors as rows of an `[n, n]` array, and no checks. */
export function eigenRows(
  data: Float64Array,
  n: number,
): { values: Float64Array; rows: Float64Array } {
  const unit = powerOfTwo(maxAbs(data));
  const workspace = tridiagonalWorkspace(n);
  const a = workspace.kernels.numbers;
  for (let i = 0; i < n; i += 1) {
    for (let j = i; j < n; j += 1) {
      a[i * n + j] = data[i * n + j] / unit / 2 + data[j * n + i] / unit / 2;
    }
  }
  const { diagonal, offDiagonal, reflectors } = tridiagonalise(workspace);
  const inner = tridiagonalEigen(diagonal, offDiagonal);
  const order = descendingOrder(inner.values);
  const values = Float64Array.from(order, (i) => inner.values[i] * unit);
  const rows = new Float64Array(n * n);
  order.forEach((from, to) => rows.set(inner.rows.subarray(from * n, (from + 1) * n), to * n));
  applyReflectors(rows, n, reflectors);
  for (let i = 0; i < n; i += 1) scale(rows, i * n, n, leadingSign(rows, i * n, n));
  return { values, rows };
}
