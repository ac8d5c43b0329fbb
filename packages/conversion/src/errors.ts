/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const conversionErrors = {
  AlreadyLatent: "The model already has latent attention.",
  UnsupportedFormat: "The output format has no place for a part of the model.",
  InvalidOption: "A setting is out of range or contradicts another or the model.",
  CalibrationTooShort: "The calibration text has fewer tokens than the conversion needs.",
  NonFiniteWeight: "A weight is NaN or infinite, or does not fit the output type.",
  ResumeMismatch:
    "The unfinished conversion in the output folder has another input or other settings.",
  OutputExists: "The output folder already holds a model or is the input.",
} as const;

/** A stable name for one way in which this package fails. */
export type ConversionErrorCode = keyof typeof conversionErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package except an abort, which throws the signal's own reason. */
export class ConversionError extends Error {
  override readonly name = "ConversionError";
  readonly code: ConversionErrorCode;
  /** The file, tensor, field and numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: ConversionErrorCode,
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
  static isInstance(value: unknown): value is ConversionError {
    return value instanceof Error && brand in value && value.name === "ConversionError";
  }
}
