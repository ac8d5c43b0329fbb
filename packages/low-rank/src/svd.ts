import { mirrorUpper } from "./blocks";
import { requireFinite } from "./checks";
import { eigenRows } from "./eigh";
import { orthogonaliseRows } from "./jacobi";
import { addProduct, transposed, view } from "./matmul";
import { matrix, transpose } from "./matrix";
import type { Matrix } from "./matrix";
import { pivotedQr } from "./pivoted-qr";
import { applyReflectors } from "./reflectors";
import { axpy, descendingOrder, dot, leadingSign, maxAbs, powerOfTwo, scale } from "./vector";

/** m = u diag(values) vᵀ, with k = min(rows, columns). */
export interface Svd {
  /** `[rows, k]`, orthonormal columns. */
  readonly u: Matrix;
  /** Singular values, descending, `[k]`. */
  readonly values: Float64Array;
  /** `[columns, k]`, orthonormal columns. */
  readonly v: Matrix;
}

/** Below this size plain Jacobi is quicker than an eigendecomposition before it. */
const PRECONDITION_FROM = 33;

/**
 * Thin singular value decomposition: QR with column pivoting, then one-sided Jacobi on R, started
 * from the eigenvectors of Rᵀ R (after Drmac and Veselic 2008).
 *
 * Every singular value is accurate to a small multiple of 1e-16 times the largest. Where the matrix
 * is B diag(d) with a well-conditioned B, however graded d is, each is accurate to about 1e-14 of
 * itself as well, down to 1e-145 of the largest; below
 * that it is zero. Both factors are orthonormal also for rank-deficient input. Each column of v is
 * signed so that its leading component is positive, as in `eigh`.
 *
 * @throws LowRankError NonFinite, NoConvergence
 */
export function svd(m: Matrix): Svd {
  requireFinite(m, "svd");
  const tall = m.rows >= m.columns;
  const n = Math.min(m.rows, m.columns);
  const length = Math.max(m.rows, m.columns);
  const unit = powerOfTwo(maxAbs(m.data));
  const columns = (tall ? transpose(m).data : m.data).map((value) => value / unit);
  const { left, values, right } = svdOfColumns(columns, n, length);
  for (let i = 0; i < n; i += 1) {
    values[i] *= unit;
    const [signed, size] = tall ? [right, n] : [left, length];
    const sign = leadingSign(signed, i * size, size);
    scale(left, i * length, length, sign);
    scale(right, i * n, n, sign);
  }
  const long = transpose(matrix(n, length, left));
  const short = transpose(matrix(n, n, right));
  return tall ? { u: long, values, v: short } : { u: short, values, v: long };
}

/** The decomposition of a tall matrix given by its columns as rows `[n, length]`; factors as rows. */
function svdOfColumns(columns: Float64Array, n: number, length: number) {
  const { reflectors, rColumns, order } = pivotedQr(columns, n, length);
  const { x, v } = startingBasis(rColumns, n);
  orthogonaliseRows(x, n, n, v);
  const norms = new Float64Array(n);
  for (let i = 0; i < n; i += 1) {
    // Thousands of rounded rotations stretch a row of x and of v alike, by up to 1e-13.
    const stretch = Math.sqrt(dot(v, i * n, v, i * n, n));
    scale(v, i * n, n, 1 / stretch);
    scale(x, i * n, n, 1 / stretch);
    norms[i] = Math.sqrt(dot(x, i * n, x, i * n, n));
  }
  const sorted = descendingOrder(norms);
  const values = Float64Array.from(sorted, (i) => norms[i]);
  const left = new Float64Array(n * length);
  const right = new Float64Array(n * n);
  sorted.forEach((from, to) => {
    if (norms[from] > 0) axpy(1 / norms[from], x, from * n, left, to * length, n);
    for (let j = 0; j < n; j += 1) right[to * n + order[j]] = v[from * n + j];
  });
  completeRows(left, values, n, length);
  applyReflectors(left, n, reflectors);
  return { left, values, right };
}

/**
 * x = Eᵀ Rᵀ and v = Eᵀ, E the eigenvectors of Rᵀ R: columns of R E that are orthogonal up to what
 * squaring lost. Multiplying R from the right keeps the error of each of its graded rows in
 * proportion to that row, which is what small singular values need.
 */
function startingBasis(rColumns: Float64Array, n: number): { x: Float64Array; v: Float64Array } {
  if (n < PRECONDITION_FROM) {
    const v = new Float64Array(n * n);
    for (let i = 0; i < n; i += 1) v[i * n + i] = 1;
    return { x: rColumns, v };
  }
  const square = new Float64Array(n * n);
  const r = view(rColumns, n);
  addProduct(view(square, n), r, transposed(r), n, n, n, { upper: true });
  mirrorUpper(square, n);
  const { rows: v } = eigenRows(square, n);
  const x = new Float64Array(n * n);
  addProduct(view(x, n), view(v, n), r, n, n, n);
  return { x, v };
}

/** Gives zero singular values unit rows orthogonal to all others, from the unit vectors. */
function completeRows(rows: Float64Array, values: Float64Array, n: number, length: number): void {
  let candidate = 0;
  for (let i = 0; i < n; i += 1) {
    const own = i * length;
    while (values[i] === 0) {
      rows.fill(0, own, own + length);
      rows[own + candidate] = 1;
      candidate += 1;
      for (let j = 0; j < i; j += 1) {
        axpy(-dot(rows, j * length, rows, own, n), rows, j * length, rows, own, n);
      }
      const norm = Math.sqrt(dot(rows, own, rows, own, n));
      // Far enough that nothing cancelled; the candidates not tried yet always hold such a one.
      if (norm > 0.5 / Math.sqrt(n)) {
        scale(rows, own, length, 1 / norm);
        break;
      }
    }
  }
}
