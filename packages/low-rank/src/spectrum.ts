import { LowRankError } from "./errors";
import { maxAbs } from "./vector";

/** How the eigenvalues of a second moment are made safe before a power is taken. */
export interface SpectrumOptions {
  /** Eigenvalues are raised to at least `floor` x the mean of the positive ones. Default 0. */
  readonly floor?: number;
  /** `damping` x the mean of the positive eigenvalues is then added to all. Default 0. */
  readonly damping?: number;
}

/** More negative than rounding, even that of a float32 product, can make an eigenvalue. */
const INDEFINITE = 1e-4;

/**
 * (max(value, floor mean, 0) + damping mean)^exponent, mean over the positive values
 * (those above n x 2.2e-16 of the largest).
 *
 * @throws LowRankError InvalidArgument; NotPositiveDefinite for clearly negative values, and for a
 *   negative exponent of a numerically singular spectrum without floor or damping
 */
export function poweredSpectrum(
  values: Float64Array,
  exponent: number,
  { floor = 0, damping = 0 }: SpectrumOptions,
): Float64Array {
  requireNonNegative(floor, "floor");
  requireNonNegative(damping, "damping");
  if (!Number.isFinite(exponent)) {
    throw new LowRankError("InvalidArgument", `the exponent ${exponent} is not finite`, {
      exponent,
    });
  }
  const largest = maxAbs(values);
  const smallest = values.reduce((least, value) => Math.min(least, value), 0);
  if (smallest < -INDEFINITE * largest) {
    throw new LowRankError(
      "NotPositiveDefinite",
      `the eigenvalue ${smallest} is negative (the largest magnitude is ${largest}): this is no second moment`,
      { smallest, largest },
    );
  }
  const rounding = values.length * Number.EPSILON * largest;
  const mean = meanAbove(values, rounding);
  const noise = floor + damping > 0 ? 0 : rounding;
  return values.map((value) => {
    const safe = Math.max(value, floor * mean, 0) + damping * mean;
    if (exponent < 0 && safe <= noise) {
      throw new LowRankError(
        "NotPositiveDefinite",
        `the power ${exponent} of a singular matrix (eigenvalue ${value}, largest ${largest}): set a floor or damping`,
        { value, largest, exponent },
      );
    }
    return safe ** exponent;
  });
}

/** Rounded zeros of a singular matrix, half of them positive, must not weigh in the mean. */
function meanAbove(values: Float64Array, rounding: number): number {
  const positive = values.filter((value) => value > rounding);
  return positive.length === 0
    ? 0
    : positive.reduce((sum, value) => sum + value, 0) / positive.length;
}

export function requireNonNegative(value: number, name: string): void {
  if (!(value >= 0 && value < Infinity)) {
    throw new LowRankError("InvalidArgument", `${name} is ${value}: it must be finite and >= 0`, {
      [name]: value,
    });
  }
}
