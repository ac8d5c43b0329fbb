import { requireFinite, requireSymmetric, shapeOf } from "./checks";
import { LowRankError } from "./errors";
import { addProduct, transposed, view } from "./matmul";
import { diagonalOf, matrix } from "./matrix";
import type { Matrix } from "./matrix";
import { requireNonNegative } from "./spectrum";
import { axpy, scale } from "./vector";

export interface SolveOptions {
  /** `ridge` x the mean of the diagonal is added to the diagonal. Default 0. */
  readonly ridge?: number;
}

/** Rows eliminated at a time; the rest of the work is matrix products. */
const BLOCK = 48;

/**
 * x with (a + ridge mean(diag a) I) x = b, for a symmetric positive definite a `[n, n]` and
 * b `[n, k]`, by Cholesky factorisation. Only the upper triangle of a enters.
 *
 * @throws LowRankError ShapeMismatch, NonFinite, NotSymmetric, InvalidArgument,
 *   NotPositiveDefinite (names the pivot)
 */
export function solveSymmetric(a: Matrix, b: Matrix, options: SolveOptions = {}): Matrix {
  const x = matrix(b.rows, b.columns, b.data.slice());
  solveSymmetricInPlace(matrix(a.rows, a.columns, a.data.slice()), x, options);
  return x;
}

/**
 * `solveSymmetric` for matrices too large to be copied: `b` becomes x, `a` its Cholesky factor above the diagonal. Whatever is
 * refused before the first pivot leaves both as they are.
 *
 * @throws as `solveSymmetric`
 */
export function solveSymmetricInPlace(
  a: Matrix,
  b: Matrix,
  { ridge = 0 }: SolveOptions = {},
): void {
  requireSymmetric(a, "solveSymmetric");
  requireFinite(b, "solveSymmetric: the right-hand side");
  requireNonNegative(ridge, "ridge");
  if (a.rows !== b.rows) {
    throw new LowRankError(
      "ShapeMismatch",
      `solveSymmetric: a is ${shapeOf(a)}, so b must have ${a.rows} rows, not ${b.rows}`,
      { a: [a.rows, a.columns], b: [b.rows, b.columns] },
    );
  }
  const n = a.rows;
  const [factor, x] = [a.data, b.data];
  let sum = 0;
  for (const value of diagonalOf(a)) sum += value;
  for (let i = 0; i < n; i += 1) factor[i * n + i] += (ridge * sum) / n;
  factorise(factor, n);
  substituteForward(factor, n, x, b.columns);
  substituteBackward(factor, n, x, b.columns);
}

/** a = Uᵀ U; U takes the place of the upper triangle. */
function factorise(a: Float64Array, n: number): void {
  const original = Float64Array.from({ length: n }, (_, i) => a[i * n + i]);
  for (let start = 0; start < n; start += BLOCK) {
    const end = Math.min(n, start + BLOCK);
    for (let i = start; i < end; i += 1) {
      const pivot = a[i * n + i];
      // What is left of the diagonal is rounding once it is this small.
      if (!(pivot > n * Number.EPSILON * Math.abs(original[i]))) {
        throw new LowRankError(
          "NotPositiveDefinite",
          `solveSymmetric: pivot ${i} is ${pivot}: the matrix is not positive definite, set a ridge`,
          { pivot: i, value: pivot },
        );
      }
      scale(a, i * n + i, n - i, 1 / Math.sqrt(pivot));
      for (let r = i + 1; r < end; r += 1) {
        axpy(-a[i * n + r], a, i * n + r, a, r * n + r, n - r);
      }
    }
    const rest = n - end;
    const panel = view(a, n, start * n + end);
    addProduct(view(a, n, end * n + end), transposed(panel), panel, rest, rest, end - start, {
      sign: -1,
      upper: true,
    });
  }
}

/** x <- U^-T x for x `[n, k]`. */
function substituteForward(u: Float64Array, n: number, x: Float64Array, k: number): void {
  for (let start = 0; start < n; start += BLOCK) {
    const end = Math.min(n, start + BLOCK);
    for (let i = start; i < end; i += 1) {
      for (let r = start; r < i; r += 1) axpy(-u[r * n + i], x, r * k, x, i * k, k);
      scale(x, i * k, k, 1 / u[i * n + i]);
    }
    const panel = transposed(view(u, n, start * n + end));
    const solved = view(x, k, start * k);
    addProduct(view(x, k, end * k), panel, solved, n - end, k, end - start, { sign: -1 });
  }
}

/** x <- U^-1 x for x `[n, k]`. */
function substituteBackward(u: Float64Array, n: number, x: Float64Array, k: number): void {
  for (let start = Math.floor((n - 1) / BLOCK) * BLOCK; start >= 0; start -= BLOCK) {
    const end = Math.min(n, start + BLOCK);
    const panel = view(u, n, start * n + end);
    const solved = view(x, k, end * k);
    addProduct(view(x, k, start * k), panel, solved, end - start, k, n - end, { sign: -1 });
    for (let i = end - 1; i >= start; i -= 1) {
      for (let r = i + 1; r < end; r += 1) axpy(-u[i * n + r], x, r * k, x, i * k, k);
      scale(x, i * k, k, 1 / u[i * n + i]);
    }
  }
}
