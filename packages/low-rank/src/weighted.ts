import { requireRank, shapeOf } from "./checks";
import { leadingEigen } from "./eigh";
import { LowRankError } from "./errors";
import {
  add,
  columnSlice,
  identity,
  multiply,
  multiplyTransposedLeft,
  symmetricForm,
  trace,
  transpose,
} from "./matrix";
import type { Matrix } from "./matrix";
import { squareRoots, symmetricPower } from "./powers";
import { poweredSpectrum } from "./spectrum";
import { svd } from "./svd";

export interface WeightedProblem {
  /** C = E[x xᵀ] (or the covariance of x), `[in, in]`. */
  readonly covariance: Matrix;
  /** W, `[out, in]`; the identity if left out. */
  readonly weight?: Matrix;
  /** S, `[out, out]`: errors e are measured by eᵀ S e; the identity if left out. */
  readonly metric?: Matrix;
}

export interface WeightedLowRankOptions extends WeightedProblem {
  /** r, from 1 to min(out, in). */
  readonly rank: number;
  /** Eigenvalue floor of the metric, relative to the mean of its positive ones. Default 1e-6. */
  readonly floor?: number;
}

export interface LowRankFactors {
  /** `[rank, in]`: the latent is `down x`. Its components are uncorrelated, with values² as energy. */
  readonly down: Matrix;
  /** `[out, rank]`: `up down x` stands for `W x`. */
  readonly up: Matrix;
  /**
   * All singular values of S^(1/2) W C^(1/2), descending, `[min(out, in)]`. Their squares are good to
   * rounding of the largest; values below 1e-8 of the largest may be its noise.
   */
  readonly values: Float64Array;
  /** Part of E[(W x)ᵀ S (W x)] that is kept, 0 … 1; the error is the sum of the other values². */
  readonly keptEnergy: number;
}

/**
 * The rank-r factors that minimise E[(W x - up down x)ᵀ S (W x - up down x)].
 *
 * With P the r leading left singular vectors of S^(1/2) W C^(1/2): down = Pᵀ S^(1/2) W and
 * up = S^(-1/2) P (Eckart and Young, in the metrics of both sides).
 *
 * @throws LowRankError ShapeMismatch, RankOutOfRange, NonFinite, NotSymmetric,
 *   NotPositiveDefinite, InvalidArgument
 */
export function weightedLowRank(options: WeightedLowRankOptions): LowRankFactors {
  const { covariance, weight, metric, rank, floor = 1e-6 } = options;
  requireShapes(options);
  const out = weight ? weight.rows : covariance.rows;
  requireRank(rank, Math.min(out, covariance.rows), "weightedLowRank");
  const roots = metric && squareRoots(metric, { floor });
  const target = roots && weight ? multiply(roots.root, weight) : (roots?.root ?? weight);
  const { leading, values } =
    leadingBySquare(covariance, target, rank) ?? leadingBySvd(covariance, target, rank);
  return {
    down: target ? multiplyTransposedLeft(leading, target) : transpose(leading),
    up: roots ? multiply(roots.inverseRoot, leading) : leading,
    values,
    keptEnergy: energyOf(
      values.map((value) => value * value),
      rank,
    ),
  };
}

/** The leading left singular vectors of a matrix, as columns, and all its singular values. */
interface Leading {
  readonly leading: Matrix;
  readonly values: Float64Array;
}

/** Part of the largest singular value down to which squares, good to 1e-16 of the largest, give values good to 1e-11. */
const SQUARE_FROM = 1e-5;

/**
 * From the eigenvectors of M Mᵀ = T C Tᵀ, which needs no C^(1/2) and only `rank` vectors; undefined where
 * too many are wanted to gain from that, or where squaring loses some of the wanted ones.
 */
function leadingBySquare(
  covariance: Matrix,
  target: Matrix | undefined,
  rank: number,
): Leading | undefined {
  const rows = target ? target.rows : covariance.rows;
  if (2 * rank > rows || rows > covariance.rows) return undefined;
  const square = target ? symmetricForm(target, covariance) : covariance;
  const { values, vectors } = leadingEigen(square, rank);
  if (!(values[rank - 1] > SQUARE_FROM ** 2 * values[0])) return undefined;
  return { leading: vectors, values: poweredSpectrum(values, 0.5, {}) };
}

function leadingBySvd(covariance: Matrix, target: Matrix | undefined, rank: number): Leading {
  const source = symmetricPower(covariance, 0.5);
  const { u, values } = svd(target ? multiply(target, source) : source);
  return { leading: columnSlice(u, 0, rank), values };
}

/**
 * E[(W x - up down x)ᵀ S (W x - up down x)] of any factors, for comparing them.
 *
 * @throws LowRankError ShapeMismatch, NonFinite, NotSymmetric
 */
export function weightedError(
  problem: WeightedProblem,
  factors: { readonly down: Matrix; readonly up: Matrix },
): number {
  requireShapes(problem);
  const { covariance, weight, metric } = problem;
  const full = weight ?? identity(covariance.rows);
  const residual = add(full, multiply(factors.up, factors.down), -1);
  const spread = symmetricForm(residual, covariance);
  return trace(metric ? multiply(metric, spread) : spread);
}

export interface Pca {
  /** `[n, rank]`, orthonormal columns, the strongest first. */
  readonly components: Matrix;
  /** All eigenvalues, descending, `[n]`. */
  readonly values: Float64Array;
  /** Part of the trace that is kept, 0 … 1. */
  readonly keptEnergy: number;
}

/**
 * The `rank` leading eigenvectors of a second moment (or covariance) `[n, n]`.
 *
 * @throws LowRankError RankOutOfRange, ShapeMismatch, NonFinite, NotSymmetric
 */
export function pca(secondMoment: Matrix, rank: number): Pca {
  requireRank(rank, secondMoment.rows, "pca");
  const { values, vectors } = leadingEigen(secondMoment, rank);
  return {
    components: vectors,
    values,
    keptEnergy: energyOf(
      values.map((value) => Math.max(0, value)),
      rank,
    ),
  };
}

/** Share of the first `rank` in the sum; all of nothing is 1. */
function energyOf(energies: Float64Array, rank: number): number {
  let kept = 0;
  let total = 0;
  energies.forEach((energy, i) => {
    total += energy;
    if (i < rank) kept += energy;
  });
  return total === 0 ? 1 : kept / total;
}

function requireShapes({ covariance, weight, metric }: WeightedProblem): void {
  const inputs = covariance.rows;
  const outputs = weight ? weight.rows : inputs;
  const fits = !weight || weight.columns === inputs;
  if (fits && (!metric || metric.rows === outputs)) return;
  const given = [`covariance ${shapeOf(covariance)}`];
  if (weight) given.push(`weight ${shapeOf(weight)}`);
  if (metric) given.push(`metric ${shapeOf(metric)}`);
  throw new LowRankError(
    "ShapeMismatch",
    `${given.join(", ")}: they must be [in, in], [out, in] and [out, out]`,
    { given },
  );
}
