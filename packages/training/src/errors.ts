/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const trainingErrors = {
  InvalidOption: "An option is out of its range, or contradicts another.",
  UnsupportedModel: "The model has a part whose gradient is not there.",
  UnsupportedDevice: "The device runs models but does not train them.",
  NothingToTrain: "No parameter of the model is among those to be trained.",
  TooLittleText: "The data has no token to be predicted.",
  InvalidData: "A line of the data cannot be used.",
  InvalidTokens: "A token id lies beyond the vocabulary.",
  TeacherMismatch: "Teacher and student do not share a vocabulary, or have no layers in common.",
  LossNotFinite: "The loss is NaN or infinite; nothing was changed by that step.",
  InvalidCheckpoint: "The checkpoint of a training run cannot be used.",
  SettingsChanged: "The run that is to be resumed had other settings, data or weights.",
} as const;

/** A stable name for one way in which this package fails. */
export type TrainingErrorCode = keyof typeof trainingErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package except an abort, which throws the signal's own reason. */
export class TrainingError extends Error {
  override readonly name = "TrainingError";
  readonly code: TrainingErrorCode;
  /** The option, line or numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: TrainingErrorCode,
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
  static isInstance(value: unknown): value is TrainingError {
    return value instanceof Error && brand in value && value.name === "TrainingError";
  }
}
