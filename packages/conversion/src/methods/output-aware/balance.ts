import { scaleRows, symmetricForm, type Matrix } from "@transmla/low-rank";
import type { LatentWeights } from "../../weights";

/** Pairs weaker than this part of the strongest are not blown up any further. */
const WEAKEST = 1e-3;

/**
 * Makes every pair of the rotated key equally strong: with `e_c = E|k_c|^2` and `s_c = sqrt(mean(e) / e_c)`, keys become `s_c k_c` and
 * queries `q_c / s_c`. A scale commutes with the pair's rotation, so every logit stays what it was. A cache in bytes has one scale per
 * token, set by its largest number; where all pairs are alike that rounds none of them away.
 *
 * @param moment `E[x~ x~^T]` of what keys are made of
 */
export function balanceRotated<Weights extends Pick<LatentWeights, "ropeKey" | "queryRope">>(
  weights: Weights,
  moment: Matrix,
): Weights {
  const { ropeKey, queryRope } = weights;
  if (!ropeKey || !queryRope) return weights;
  const scales = pairScales(ropeKey, moment);
  const pairs = scales.length;
  const of = (row: number) => scales[row % pairs];
  return {
    ...weights,
    ropeKey: scaleRows(
      ropeKey,
      Float64Array.from({ length: ropeKey.rows }, (_, row) => of(row)),
    ),
    queryRope: scaleRows(
      queryRope,
      Float64Array.from({ length: queryRope.rows }, (_, row) => 1 / of(row)),
    ),
  };
}

/** `s_c` of every pair; rows of the key are half-split. */
function pairScales(ropeKey: Matrix, moment: Matrix): Float64Array {
  const pairs = ropeKey.rows / 2;
  const covariance = symmetricForm(ropeKey, moment);
  const energy = (row: number) => Math.max(0, covariance.data[row * (covariance.rows + 1)]);
  const energies = Float64Array.from({ length: pairs }, (_, c) => energy(c) + energy(c + pairs));
  const mean = energies.reduce((total, value) => total + value, 0) / pairs;
  if (mean === 0) return energies.fill(1);
  const least = WEAKEST ** 2 * Math.max(...energies);
  return energies.map((value) => Math.sqrt(mean / Math.max(value, least)));
}
