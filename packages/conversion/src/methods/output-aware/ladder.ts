import type { GroupedAttentionConfig } from "@transmla/models";
import type { KeyComponent } from "./selection";

/**
 * Frequencies of one rotary base, for formats that can say no others: the `i`-th is `omega_1^(step i)`, with `omega_i` those of
 * the original, and rotates the leading component of the nearest original one. With step 1 these are the highest, whose components
 * turn most; larger steps reach lower ones, which turn too slowly for the expected phase of a calibration to hold at a distance. A
 * fraction rotates components a little too fast or too slowly; the score refit knows.
 */
export const LADDER_STEPS = [1, 1.25, 1.5, 2, 3];

/** Steps that an original allows: fractions only where its own frequencies are of one base, without a scaling. */
export function ladderStepsOf({ frequencies }: GroupedAttentionConfig): number[] {
  const first = frequencies[1] ?? 1;
  const isGeometric = frequencies.every((f, i) => Math.abs(f / first ** i - 1) < 1e-9);
  return LADDER_STEPS.filter((step) => isGeometric || Number.isInteger(step));
}

/** Whether a ladder of so many pairs ends within the original's frequencies. */
export function reaches({ headDim }: GroupedAttentionConfig, pairs: number, step: number): boolean {
  return Math.round((pairs - 1) * step) < headDim / 2;
}

/** The component that each of `pairs` pairs of a ladder rotates. @param step at least 1, or pairs would share one */
export function ladderComponents(pairs: number, step: number): KeyComponent[] {
  return Array.from({ length: pairs }, (_, i) => ({
    frequency: Math.round(i * step),
    component: 0,
  }));
}

/** The frequency of each pair in radians per position, `[pairs]`; within the original's, see `reaches`. */
export function ladderFrequencies(
  { frequencies }: GroupedAttentionConfig,
  pairs: number,
  step: number,
): Float64Array {
  return Float64Array.from({ length: pairs }, (_, i) =>
    Number.isInteger(step) ? frequencies[i * step] : frequencies[1] ** (i * step),
  );
}
