/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const evaluationErrors = {
  InvalidOption: "An option is out of its range.",
  TooFewTokens: "The text has fewer than two tokens, so that none follows another.",
  InvalidTokens: "The text has a token id beyond the vocabulary.",
  VocabularyMismatch: "The two models do not share a vocabulary.",
  InvalidLogits: "The logits are NaN or infinite.",
} as const;

/** A stable name for one way in which this package fails. */
export type EvaluationErrorCode = keyof typeof evaluationErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package except an abort, which throws the signal's own reason. */
export class EvaluationError extends Error {
  override readonly name = "EvaluationError";
  readonly code: EvaluationErrorCode;
  /** The option, position or numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: EvaluationErrorCode,
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
  static isInstance(value: unknown): value is EvaluationError {
    return value instanceof Error && brand in value && value.name === "EvaluationError";
  }
}
