/** What went wrong, in a form a program can switch on. */
export type LowRankErrorCode =
  /** Two shapes do not fit, or an array's length is not the product of its shape. */
  | "SHAPE_MISMATCH"
  /** A size, exponent, floor or ridge outside its range. */
  | "INVALID_ARGUMENT"
  /** NaN, infinity, or a magnitude whose square overflows. */
  | "NON_FINITE"
  /** A matrix that must equal its (conjugate) transpose does not. */
  | "NOT_SYMMETRIC"
  /** An eigenvalue or pivot that must be positive is not. */
  | "NOT_POSITIVE_DEFINITE"
  /** A rank below 1 or above what the shape allows. */
  | "RANK_OUT_OF_RANGE"
  /** Moments were asked for before any sample was added. */
  | "NO_SAMPLES"
  /** An iteration did not settle. */
  | "NO_CONVERGENCE";

const brand = Symbol.for("@transmla/error");

/** Every error this package throws; `context` holds the numbers its message names. */
export class LowRankError extends Error {
  override readonly name = "LowRankError";
  readonly code: LowRankErrorCode;
  readonly context: Readonly<Record<string, unknown>>;
  readonly [brand] = true;

  constructor(
    code: LowRankErrorCode,
    message: string,
    context: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
  }

  /** Recognises the error also across the ESM and CommonJS builds, where `instanceof` fails. */
  static isInstance(value: unknown): value is LowRankError {
    return (
      value instanceof Error &&
      value.name === "LowRankError" &&
      (value as { [brand]?: unknown })[brand] === true
    );
  }
}
