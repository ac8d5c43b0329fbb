import {
  adjoint,
  complexMatrix,
  largestPart,
  normalisePhase,
  requireComplexFinite,
  turn,
} from "./complex";
import type { ComplexMatrix } from "./complex";
import { LowRankError } from "./errors";
import { jacobiAngle, rotateComplex } from "./rotations";
import { descendingOrder, dot, NEGLIGIBLE_SQUARE, powerOfTwo, scale } from "./vector";

/** m = u diag(values) vᴴ, with k = min(rows, columns). */
export interface ComplexSvd {
  /** `[rows, k]`, orthonormal columns. */
  readonly u: ComplexMatrix;
  /** Singular values, descending, `[k]`. */
  readonly values: Float64Array;
  /** `[columns, k]`, orthonormal columns. */
  readonly v: ComplexMatrix;
}

const MAX_SWEEPS = 60;

/**
 * Thin singular value decomposition of a small complex matrix (say up to 64 on the shorter side), by
 * one-sided Jacobi rotations. Accuracy as for the real `svd`; each column of v is turned so that its
 * leading component is real and positive, as in `hermitianEigh`.
 *
 * @throws LowRankError NonFinite, NoConvergence
 */
export function complexSvd(m: ComplexMatrix): ComplexSvd {
  requireComplexFinite(m, "complexSvd");
  if (m.rows < m.columns) {
    // The roles of u and v change, so the phase must be fixed on the other side.
    const { u, values, v } = complexSvdTall(adjoint(m));
    return oriented(v, values, u);
  }
  const { u, values, v } = complexSvdTall(m);
  return oriented(u, values, v);
}

/** Factors as rows of the results: row i of `u` and `v` is a singular vector. */
function complexSvdTall(m: ComplexMatrix) {
  const n = m.columns;
  const unit = powerOfTwo(largestPart(m));
  const turned = adjoint(m);
  const x = complexMatrix(
    n,
    m.rows,
    turned.re.map((value) => value / unit),
    turned.im.map((value) => -value / unit),
  );
  const v = complexMatrix(n, n);
  for (let i = 0; i < n; i += 1) v.re[i * n + i] = 1;
  orthogonalise(x, v);
  for (let i = 0; i < n; i += 1) {
    if (squaredNorm(x, i) > NEGLIGIBLE_SQUARE) continue;
    x.re.fill(0, i * m.rows, (i + 1) * m.rows);
    x.im.fill(0, i * m.rows, (i + 1) * m.rows);
  }
  const norms = Float64Array.from({ length: n }, (_, i) => Math.sqrt(squaredNorm(x, i)));
  const order = descendingOrder(norms);
  const u = takeRows(x, order);
  const values = Float64Array.from(order, (i) => norms[i]);
  values.forEach((value, i) => {
    if (value > 0) {
      scale(u.re, i * m.rows, m.rows, 1 / value);
      scale(u.im, i * m.rows, m.rows, 1 / value);
    }
  });
  completeRows(u, values);
  return { u, values: values.map((value) => value * unit), v: takeRows(v, order) };
}

function orthogonalise(x: ComplexMatrix, v: ComplexMatrix): void {
  const tolerance = Number.EPSILON * Math.max(8, Math.sqrt(x.columns));
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep += 1) {
    let rotations = 0;
    for (let p = 0; p < x.rows; p += 1) {
      for (let q = p + 1; q < x.rows; q += 1) {
        const a = squaredNorm(x, p);
        const b = squaredNorm(x, q);
        const inner = innerProduct(x, p, q);
        const size = Math.hypot(inner.re, inner.im);
        if (Math.min(a, b) <= NEGLIGIBLE_SQUARE) continue;
        if (size <= tolerance * Math.sqrt(a) * Math.sqrt(b)) continue;
        rotations += 1;
        const phase = { re: inner.re / size, im: -inner.im / size };
        const angle = jacobiAngle(a, b, size);
        rotateComplex(x, p * x.columns, q * x.columns, 1, x.columns, angle, phase);
        rotateComplex(v, p * v.columns, q * v.columns, 1, v.columns, angle, phase);
      }
    }
    if (rotations === 0) return;
  }
  throw new LowRankError("NoConvergence", `complexSvd: not orthogonal after ${MAX_SWEEPS} sweeps`);
}

/** x_pᴴ x_q of two rows read as vectors. */
function innerProduct(x: ComplexMatrix, p: number, q: number): { re: number; im: number } {
  const n = x.columns;
  const [i, j] = [p * n, q * n];
  return {
    re: dot(x.re, i, x.re, j, n) + dot(x.im, i, x.im, j, n),
    im: dot(x.re, i, x.im, j, n) - dot(x.im, i, x.re, j, n),
  };
}

function squaredNorm(x: ComplexMatrix, i: number): number {
  return innerProduct(x, i, i).re;
}

function takeRows(m: ComplexMatrix, order: readonly number[]): ComplexMatrix {
  const n = m.columns;
  const out = complexMatrix(m.rows, n);
  order.forEach((from, to) => {
    out.re.set(m.re.subarray(from * n, (from + 1) * n), to * n);
    out.im.set(m.im.subarray(from * n, (from + 1) * n), to * n);
  });
  return out;
}

/** Gives zero singular values unit rows orthogonal to all others, from the unit vectors. */
function completeRows(rows: ComplexMatrix, values: Float64Array): void {
  const n = rows.columns;
  let candidate = 0;
  for (let i = 0; i < rows.rows; i += 1) {
    while (values[i] === 0) {
      rows.re.fill(0, i * n, (i + 1) * n);
      rows.im.fill(0, i * n, (i + 1) * n);
      rows.re[i * n + candidate] = 1;
      candidate += 1;
      for (let j = 0; j < i; j += 1) removeComponent(rows, j, i);
      const norm = Math.sqrt(squaredNorm(rows, i));
      // Far enough that nothing cancelled; the candidates not tried yet always hold such a one.
      if (norm > 0.5 / Math.sqrt(n)) {
        scale(rows.re, i * n, n, 1 / norm);
        scale(rows.im, i * n, n, 1 / norm);
        break;
      }
    }
  }
}

/** x_i -= (x_jᴴ x_i) x_j */
function removeComponent(rows: ComplexMatrix, j: number, i: number): void {
  const n = rows.columns;
  const { re, im } = innerProduct(rows, j, i);
  for (let t = 0; t < n; t += 1) {
    const [xr, xi] = [rows.re[j * n + t], rows.im[j * n + t]];
    rows.re[i * n + t] -= re * xr - im * xi;
    rows.im[i * n + t] -= re * xi + im * xr;
  }
}

/** Fixes the phases on v and turns the rows into columns. */
function oriented(u: ComplexMatrix, values: Float64Array, v: ComplexMatrix): ComplexSvd {
  for (let i = 0; i < values.length; i += 1) {
    const phase = normalisePhase(v.re, v.im, i * v.columns, v.columns);
    turn(u.re, u.im, i * u.columns, u.columns, phase);
  }
  return { u: columnsFrom(u), values, v: columnsFrom(v) };
}

function columnsFrom(rows: ComplexMatrix): ComplexMatrix {
  const turned = adjoint(rows);
  return { ...turned, im: turned.im.map((value) => -value) };
}
