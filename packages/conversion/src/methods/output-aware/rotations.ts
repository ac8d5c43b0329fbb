import {
  complexMatrix,
  diagonalOf,
  hermitianEigh,
  symmetricForm,
  type ComplexMatrix,
  type Matrix,
} from "@transmla/low-rank";
import type { GroupedAttentionConfig } from "@transmla/models";
import type { GroupedWeights } from "../../weights";
import { allSteps, type OutputAwareSteps } from "./steps";

/** An invertible complex change of basis of the keys of all heads at one frequency. It commutes with RoPE. */
export interface FrequencyRotation {
  /** `T^H`, `[kvHeads, kvHeads]`: component `c` of the keys is `sum_a T^H[c, a] k_a`. */
  readonly forward: ComplexMatrix;
  /** `T^-1`, `[kvHeads, kvHeads]`: component `c` of the query of a head in group `a` is `T^-1[c, a] q`. */
  readonly inverse: ComplexMatrix;
  /** `E|K'_c|^2` of every component, descending. */
  readonly keyEnergies: Float64Array;
}

/** Query energies below this part of their mean count as this: a head that is never asked still needs an inverse. */
const ENERGY_FLOOR = 1e-6;

/**
 * Complex, query-aware rotations across heads, one per frequency. With `Ck = E[k k^H]` over heads and `Cq` the diagonal of the
 * query energies of each group, the left singular vectors `P` of `Cq^(1/2) Ck^(1/2)` give
 *
 *     T^H = P^H Cq^(1/2),   T^-1 = P^H Cq^(-1/2).
 *
 * Every logit is kept, since `(T^H k)^H (T^-1 q) = k^H q`; the first components carry most of what the logits need.
 *
 * @param inputMoment `E[x~ x~^T]`, `[hidden + 1, hidden + 1]`
 * @param energies see `queryEnergies`
 * @param steps `complex` off: the real part of `Ck`; `queryAware` off: `Cq = 1`
 */
export function complexRotations(
  weights: GroupedWeights,
  config: GroupedAttentionConfig,
  inputMoment: Matrix,
  energies: Float64Array,
  steps: Pick<OutputAwareSteps, "complex" | "queryAware"> = allSteps,
): FrequencyRotation[] {
  const { kvHeads, headDim } = config;
  const keyMoment = symmetricForm(weights.key, inputMoment);
  return Array.from({ length: headDim / 2 }, (_, f) => {
    const roots = groupEnergies(energies, config, f).map((energy) =>
      steps.queryAware ? Math.sqrt(energy) : 1,
    );
    const moment = keyMomentAt(keyMoment, config, f);
    if (!steps.complex) moment.im.fill(0);
    for (let a = 0; a < kvHeads; a++) {
      for (let b = 0; b < kvHeads; b++) {
        moment.re[a * kvHeads + b] *= roots[a] * roots[b];
        moment.im[a * kvHeads + b] *= roots[a] * roots[b];
      }
    }
    const { values, vectors } = hermitianEigh(moment);
    return {
      forward: scaledAdjoint(vectors, roots),
      inverse: scaledAdjoint(
        vectors,
        roots.map((root) => 1 / root),
      ),
      keyEnergies: values.map((value) => Math.max(0, value)),
    };
  });
}

/**
 * `E|q_i,f|^2` of every head and frequency, `[heads, headDim / 2]`.
 *
 * @param moments see `featureMoments`
 */
export function queryEnergies(
  moments: readonly Matrix[],
  { headDim }: GroupedAttentionConfig,
): Float64Array {
  const half = headDim / 2;
  const energies = new Float64Array(moments.length * half);
  for (const [i, moment] of moments.entries()) {
    const diagonal = diagonalOf(moment);
    for (let f = 0; f < half; f++) energies[i * half + f] = diagonal[f] + diagonal[f + half];
  }
  return energies;
}

/** Summed query energy of the heads of every group at one frequency, floored. */
function groupEnergies(
  energies: Float64Array,
  { heads, kvHeads, headDim }: GroupedAttentionConfig,
  f: number,
): number[] {
  const groups = Array.from({ length: kvHeads }, () => 0);
  for (let i = 0; i < heads; i++) {
    groups[Math.floor((i * kvHeads) / heads)] += energies[(i * headDim) / 2 + f];
  }
  const mean = groups.reduce((sum, energy) => sum + energy, 0) / kvHeads;
  // Where nothing is asked of any head all bases are alike.
  const floor = mean > 0 ? ENERGY_FLOOR * mean : 1;
  return groups.map((energy) => energy + floor);
}

/** `E[k_a conj(k_b)]` over key/value heads `a`, `b` at frequency `f`. */
function keyMomentAt(
  keyMoment: Matrix,
  { kvHeads, headDim }: GroupedAttentionConfig,
  f: number,
): ComplexMatrix {
  const half = headDim / 2;
  const at = (row: number, column: number) => keyMoment.data[row * keyMoment.columns + column];
  const moment = complexMatrix(kvHeads, kvHeads);
  for (let a = 0; a < kvHeads; a++) {
    for (let b = 0; b < kvHeads; b++) {
      const [aRe, bRe] = [a * headDim + f, b * headDim + f];
      const [aIm, bIm] = [aRe + half, bRe + half];
      moment.re[a * kvHeads + b] = at(aRe, bRe) + at(aIm, bIm);
      moment.im[a * kvHeads + b] = at(aIm, bRe) - at(aRe, bIm);
    }
  }
  return moment;
}

/** `vectors^H diag(factors)` */
function scaledAdjoint(vectors: ComplexMatrix, factors: readonly number[]): ComplexMatrix {
  const n = vectors.rows;
  const result = complexMatrix(n, n);
  for (let c = 0; c < n; c++) {
    for (let a = 0; a < n; a++) {
      result.re[c * n + a] = vectors.re[a * n + c] * factors[a];
      result.im[c * n + a] = -vectors.im[a * n + c] * factors[a];
    }
  }
  return result;
}
