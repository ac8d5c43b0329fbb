import { requireSquare, SYMMETRY_TOLERANCE } from "./checks";
import {
  adjoint,
  complexMatrix,
  largestPart,
  normalisePhase,
  requireComplexFinite,
} from "./complex";
import type { ComplexMatrix } from "./complex";
import { LowRankError } from "./errors";
import { jacobiAngle, rotateComplex } from "./rotations";
import type { Angle, Phase } from "./rotations";
import { descendingOrder, powerOfTwo } from "./vector";

/** m = vectors diag(values) vectorsᴴ. */
export interface HermitianEigen {
  /** Descending, real, `[n]`. */
  readonly values: Float64Array;
  /** `[n, n]`, unitary; column i belongs to `values[i]`. */
  readonly vectors: ComplexMatrix;
}

const MAX_SWEEPS = 60;

/**
 * Eigendecomposition of a small complex Hermitian matrix (as many rows as heads, say up to 64) by
 * cyclic Jacobi rotations, for which equal eigenvalues are no special case.
 *
 * Errors of the eigenvalues are a small multiple of 1e-16 times the largest magnitude among them.
 * Each eigenvector is turned so that its leading component is real and positive (the first within one
 * part in a million of the largest magnitude).
 *
 * @throws LowRankError ShapeMismatch, NonFinite, NotSymmetric, NoConvergence
 */
export function hermitianEigh(m: ComplexMatrix): HermitianEigen {
  requireHermitian(m, "hermitianEigh");
  const n = m.rows;
  const unit = powerOfTwo(largestPart(m));
  const h = hermitianPart(m, unit);
  // Row i of v is the eigenvector i, not conjugated.
  const v = complexMatrix(n, n);
  for (let i = 0; i < n; i += 1) v.re[i * n + i] = 1;
  diagonalise(h, v);
  const found = Float64Array.from({ length: n }, (_, i) => h.re[i * n + i]);
  const order = descendingOrder(found);
  const vectors = complexMatrix(n, n);
  order.forEach((from, to) => {
    normalisePhase(v.re, v.im, from * n, n);
    for (let i = 0; i < n; i += 1) {
      vectors.re[i * n + to] = v.re[from * n + i];
      vectors.im[i * n + to] = v.im[from * n + i];
    }
  });
  return { values: Float64Array.from(order, (i) => found[i] * unit), vectors };
}

/** Sweeps rotations over h until it is diagonal; row i of v becomes the i-th eigenvector. */
function diagonalise(h: ComplexMatrix, v: ComplexMatrix): void {
  const n = h.rows;
  let norm = 0;
  for (let i = 0; i < n * n; i += 1) norm += h.re[i] ** 2 + h.im[i] ** 2;
  // Below this the off-diagonal moves no eigenvalue and mixes only what rounding cannot tell apart.
  const negligible = (Number.EPSILON / 16) * Math.sqrt(norm);
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep += 1) {
    let rotations = 0;
    for (let p = 0; p < n; p += 1) {
      for (let q = p + 1; q < n; q += 1) {
        const re = h.re[p * n + q];
        const im = h.im[p * n + q];
        const size = Math.hypot(re, im);
        if (size <= negligible) continue;
        rotations += 1;
        // With q turned by conj(h_pq) / |h_pq| the pair is real.
        const phase = { re: re / size, im: -im / size };
        const angle = jacobiAngle(h.re[p * n + p], h.re[q * n + q], size);
        rotateComplex(v, p * n, q * n, 1, n, angle, phase);
        rotateBothSides(h, p, q, angle, phase);
      }
    }
    if (rotations === 0) return;
  }
  throw new LowRankError("NoConvergence", `hermitianEigh: not diagonal after ${MAX_SWEEPS} sweeps`);
}

/** h <- Jᴴ h J for the rotation J of columns p and q; h stays exactly Hermitian there. */
function rotateBothSides(h: ComplexMatrix, p: number, q: number, angle: Angle, phase: Phase): void {
  const n = h.rows;
  rotateComplex(h, p, q, n, n, angle, phase);
  rotateComplex(h, p * n, q * n, 1, n, angle, { re: phase.re, im: -phase.im });
  h.im[p * n + p] = 0;
  h.im[q * n + q] = 0;
  for (const i of [p * n + q, q * n + p]) {
    h.re[i] = 0;
    h.im[i] = 0;
  }
}

/** (m + mᴴ) / 2 in units of `unit`. */
function hermitianPart(m: ComplexMatrix, unit: number): ComplexMatrix {
  const turned = adjoint(m);
  const mean = (a: Float64Array, b: Float64Array) =>
    a.map((value, i) => value / unit / 2 + b[i] / unit / 2);
  return complexMatrix(m.rows, m.rows, mean(m.re, turned.re), mean(m.im, turned.im));
}

/** Square, finite and equal to its adjoint up to SYMMETRY_TOLERANCE of its largest part. */
export function requireHermitian(m: ComplexMatrix, name: string): void {
  requireSquare(m, name);
  requireComplexFinite(m, name);
  const n = m.rows;
  const allowed = largestPart(m) * SYMMETRY_TOLERANCE;
  for (let i = 0; i < n; i += 1) {
    for (let j = 0; j <= i; j += 1) {
      const [x, y] = [i * n + j, j * n + i];
      const re = Math.abs(m.re[x] - m.re[y]);
      const im = Math.abs(m.im[x] + m.im[y]);
      if (re > allowed || im > allowed) {
        throw new LowRankError(
          "NotSymmetric",
          `${name} takes a Hermitian matrix: (${i}, ${j}) is ${m.re[x]} + ${m.im[x]}i, (${j}, ${i}) is ${m.re[y]} + ${m.im[y]}i`,
          { row: i, column: j },
        );
      }
    }
  }
}
