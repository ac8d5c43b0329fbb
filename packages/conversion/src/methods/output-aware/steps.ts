import { invalid } from "../../sizes";

/** What every step of the method does. One that is switched off is replaced by what is named after the semicolon. */
const steps = {
  /** Complex rotations of keys across heads; real ones. */
  complex: true,
  /** Rotations weighted by what the queries of each head ask for; all heads alike. */
  queryAware: true,
  /** Rotated components chosen by what the logits lose without; by energy. */
  selection: true,
  /** The average rotation in place of a lost one; none, as if every token were at distance 0. */
  expectedPhase: true,
  /** Errors of the latent measured in logits and output; in keys and values. */
  outputAware: true,
  /** Keys and values less their mean; about the origin. */
  centring: true,
  /** Every layer measured on the stream of the model converted so far; on the original's. */
  sequential: true,
  /** Half of the calibration sequences leave out positions, so that far distances are measured too; distances within sequences only. */
  skipPositions: true,
  /** Query maps fitted to the original's attention; as they follow from the rotations. */
  scoreRefit: true,
  /** The output projection fitted to the original's residual stream; as it was. */
  outputRefit: true,
  /** Tokens count in that fit by what the next norm makes of them; all alike. */
  normAware: true,
  /** How much of the cache is rotated, chosen by the error on held-out text; half. */
  splitByLoss: true,
  /** Every layer as large as its errors on held-out text ask for; all alike. */
  sizesByLoss: true,
};

/** Which steps of method `output-aware` are taken. All are, unless one's share is to be measured. */
export type OutputAwareSteps = Readonly<Record<keyof typeof steps, boolean>>;

export type OutputAwareStep = keyof OutputAwareSteps;

export const allSteps: OutputAwareSteps = steps;

export const stepNames = Object.keys(steps) as readonly OutputAwareStep[];

/**
 * Fills in the steps that are not mentioned.
 *
 * @throws ConversionError `InvalidOption` for a name that is no step
 */
export function withDefaults(chosen: Partial<OutputAwareSteps> = {}): OutputAwareSteps {
  const unknown = Object.keys(chosen).find((name) => !Object.hasOwn(steps, name));
  if (unknown !== undefined) {
    throw invalid(`${unknown} is no step; possible: ${stepNames.join(", ")}.`, {
      step: unknown,
    });
  }
  return { ...steps, ...chosen };
}
