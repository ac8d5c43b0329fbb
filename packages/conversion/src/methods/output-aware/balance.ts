import { symmetricForm, type Matrix } from "@transmla/low-rank";
import type { LatentWeights } from "../../weights";

/** Pairs weaker than this part of the strongest are not blown up any further. */
const WEAKEST = 1e-3;

/**
 * Makes every pair of the rotated key equally strong: with `e_c = E|k_c|^2` and `s_c = sqrt(mean(e) / e_c)`, keys become `s_c k_c` and
 * queries `q_c / s_c`. A scale commutes with the pair's rotation, so every logit stays what it was. A cache in bytes has one scale per
 * token, set by its largest number; where all pairs are alike that rounds none of them away.
 *
 * In place: queries are among the largest matrices that a conversion holds.
 *
 * @param moment `E[x~ x~^T]` of what keys are made of
 */
export function balanceRotated(
  { ropeKey, queryRope }: Pick<LatentWeights, "ropeKey" | "queryRope">,
  moment: Matrix,
): void {
  if (!ropeKey || !queryRope) return;
  const scales = pairScales(ropeKey, moment);
  scaleRowsOf(ropeKey, (row) => scales[row % scales.length]);
  scaleRowsOf(queryRope, (row) => 1 / scales[row % scales.length]);
}

function scaleRowsOf({ rows, columns, data }: Matrix, factor: (row: number) => number): void {
  for (let row = 0; row < rows; row++) {
    const scale = factor(row);
    for (let at = row * columns; at < (row + 1) * columns; at++) data[at] *= scale;
  }
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
