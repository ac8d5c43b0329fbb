import type { GroupedAttentionConfig } from "@transmla/models";
import type { FrequencyRotation } from "./rotations";
import { allSteps, type OutputAwareSteps } from "./steps";

/** A component of the rotated keys: the `component`-th of frequency `frequency`. */
export interface KeyComponent {
  readonly frequency: number;
  readonly component: number;
}

/**
 * How far the loss of a component's rotation counts. What is constant in the loss the score refit repairs, and the expected phase knows
 * the distances of the calibration only: the full loss (1) keeps too many high frequencies, energy alone (0) low ones that hardly turn
 * (docs/decisions/0012 and 0019).
 */
const LOSS_POWER = 1 / 2;

/**
 * The components that keep their rotation: those whose logits suffer most without it. When the rotation of component `c` of frequency
 * `f` is replaced by the expected phase, the logits lose the part `1 - |gamma_i,f|^2` of its energy, which counts by `LOSS_POWER`:
 *
 *     E|K'_c|^2 * sum_i E|Q'_i,c|^2 * (1 - |gamma_i,f|^2)^(1/2)
 *
 * Several components of one frequency may be kept, or none.
 *
 * @param energies `E|q_i,f|^2`, `[heads, headDim / 2]`
 * @param phases `|gamma_i,f|^2`, `[heads, headDim / 2]`
 * @param steps `selection` off: the score is `E|K'_c|^2`
 * @returns `pairs` components, by frequency and component
 */
export function selectRotated(
  rotations: readonly FrequencyRotation[],
  energies: Float64Array,
  phases: Float64Array,
  { heads, kvHeads }: GroupedAttentionConfig,
  pairs: number,
  steps: Pick<OutputAwareSteps, "selection"> = allSteps,
): KeyComponent[] {
  const half = rotations.length;
  const scored = rotations.flatMap(({ inverse, keyEnergies }, frequency) =>
    Array.from(keyEnergies, (keyEnergy, component) => {
      let queries = 0;
      for (let i = 0; i < heads; i++) {
        const at = component * kvHeads + Math.floor((i * kvHeads) / heads);
        const gain = inverse.re[at] ** 2 + inverse.im[at] ** 2;
        const index = i * half + frequency;
        const lost = Math.max(0, 1 - phases[index]);
        queries += gain * energies[index] * lost ** LOSS_POWER;
      }
      const score = steps.selection ? keyEnergy * queries : keyEnergy;
      return { frequency, component, score };
    }),
  );
  return scored
    .toSorted((a, b) => b.score - a.score)
    .slice(0, pairs)
    .toSorted((a, b) => a.frequency - b.frequency || a.component - b.component)
    .map(({ frequency, component }) => ({ frequency, component }));
}
