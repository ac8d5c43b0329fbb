/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const lowRankErrors = {
  ShapeMismatch: "Two shapes do not fit, or an array's length is not the product of its shape.",
  InvalidArgument: "A size, exponent, floor or ridge is outside its range.",
  NonFinite: "A number is NaN, infinite, or so large that its square overflows.",
  NotSymmetric: "A matrix that must equal its (conjugate) transpose does not.",
  NotPositiveDefinite: "An eigenvalue or pivot that must be positive is not.",
  RankOutOfRange: "A rank is below 1 or above what the shape allows.",
  NoSamples: "Moments were asked for before any sample was added.",
  NoConvergence: "An iteration did not settle.",
} as const;

/** A stable name for one way in which this package fails. */
export type LowRankErrorCode = keyof typeof lowRankErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package. */
export class LowRankError extends Error {
  override readonly name = "LowRankError";
  readonly code: LowRankErrorCode;
  /** The numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: LowRankErrorCode,
    message: string,
    context: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
    Object.defineProperty(this, brand, { value: true });
  }

  /** True for an error of this class from any copy of the package (ESM and CommonJS have one each). */
  static isInstance(value: unknown): value is LowRankError {
    return value instanceof Error && brand in value && value.name === "LowRankError";
  }
}
