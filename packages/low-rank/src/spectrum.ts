import { LowRankError } from "./errors";

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
 * (max(value, floor mean, 0) + damping mean)^exponent, mean over the positive values.
 *
 * @throws LowRankError INVALID_ARGUMENT; NOT_POSITIVE_DEFINITE for clearly negative values, and for a
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
    throw new LowRankError("INVALID_ARGUMENT", `the exponent ${exponent} is not finite`, {
      exponent,
    });
  }
  let largest = 0;
  let smallest = 0;
  let sum = 0;
  let positive = 0;
  for (const value of values) {
    largest = Math.max(largest, Math.abs(value));
    smallest = Math.min(smallest, value);
    if (value > 0) {
      sum += value;
      positive += 1;
    }
  }
  if (smallest < -INDEFINITE * largest) {
    throw new LowRankError(
      "NOT_POSITIVE_DEFINITE",
      `the eigenvalue ${smallest} is negative (the largest magnitude is ${largest}): this is no second moment`,
      { smallest, largest },
    );
  }
  const mean = positive === 0 ? 0 : sum / positive;
  const noise = floor + damping > 0 ? 0 : values.length * Number.EPSILON * largest;
  return values.map((value) => {
    const safe = Math.max(value, floor * mean, 0) + damping * mean;
    if (exponent < 0 && safe <= noise) {
      throw new LowRankError(
        "NOT_POSITIVE_DEFINITE",
        `the power ${exponent} of a singular matrix (eigenvalue ${value}, largest ${largest}): set a floor or damping`,
        { value, largest, exponent },
      );
    }
    return safe ** exponent;
  });
}

export function requireNonNegative(value: number, name: string): void {
  if (!(value >= 0 && value < Infinity)) {
    throw new LowRankError("INVALID_ARGUMENT", `${name} is ${value}: it must be finite and >= 0`, {
      [name]: value,
    });
  }
}
