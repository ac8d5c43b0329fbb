import { forBlocks } from "./blocks";
import { requireRank, requireSymmetric } from "./checks";
import { matrix, transpose } from "./matrix";
import type { Matrix } from "./matrix";
import { applyReflectors } from "./reflectors";
import { tridiagonalise, tridiagonalWorkspace } from "./tridiagonal";
import { tridiagonalEigen } from "./tridiagonal-eigen";
import { copyRun, descendingOrder, leadingSign, maxAbs, powerOfTwo, scale } from "./vector";

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

/** The leading eigenvectors of a symmetric matrix. */
export interface LeadingEigen {
  /** All eigenvalues, descending, `[n]`. */
  readonly values: Float64Array;
  /** `[n, rank]`; column i belongs to `values[i]`. */
  readonly vectors: Matrix;
}

/**
 * As `eigh`, with the eigenvectors of the `rank` largest eigenvalues only. Those are the same up to
 * rounding; the last join and the back-transformation, more than half of the work, are done for no other.
 *
 * @throws LowRankError RankOutOfRange, ShapeMismatch, NonFinite, NotSymmetric, NoConvergence
 */
export function leadingEigen(m: Matrix, rank: number): LeadingEigen {
  requireSymmetric(m, "leadingEigen");
  requireRank(rank, m.rows, "leadingEigen");
  const { values, rows } = eigenRows(m.data, m.rows, rank);
  return { values, vectors: transpose(matrix(rank, m.rows, rows)) };
}

/** As `leadingEigen`, with the eigenvectors as rows of a `[wanted, n]` array, and no checks. */
export function eigenRows(
  data: Float64Array,
  n: number,
  wanted = n,
): { values: Float64Array; rows: Float64Array } {
  const unit = powerOfTwo(maxAbs(data));
  const workspace = tridiagonalWorkspace(n);
  const a = workspace.kernels.numbers;
  forBlocks(n, n, (i0, i1, j0, j1) => {
    if (j0 < i0) return;
    for (let i = i0; i < i1; i += 1) {
      for (let j = j0; j < j1; j += 1) {
        a[i * n + j] = data[i * n + j] / unit / 2 + data[j * n + i] / unit / 2;
      }
    }
  });
  const { diagonal, offDiagonal, reflectors } = tridiagonalise(workspace);
  const inner = tridiagonalEigen(diagonal, offDiagonal, wanted);
  const order = descendingOrder(inner.values);
  const values = Float64Array.from(order, (i) => inner.values[i] * unit);
  const rows = new Float64Array(wanted * n);
  for (let i = 0; i < wanted; i += 1) copyRun(inner.rows, order[i] * n, rows, i * n, n);
  applyReflectors(rows, wanted, reflectors);
  for (let i = 0; i < wanted; i += 1) scale(rows, i * n, n, leadingSign(rows, i * n, n));
  return { values, rows };
}
