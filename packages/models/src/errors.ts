/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const modelsErrors = {
  InvalidConfig: "A field of config.json is missing, of the wrong type or out of range.",
  UnsupportedModel: "The model needs something that this version cannot compute.",
  MissingConfig: "The folder has no config.json.",
  WeightsAbsent: "Only the config of the model is there, not its weights.",
  MissingTensor: "The config asks for a tensor that the checkpoint does not have.",
  UnexpectedTensor: "The checkpoint has a tensor that the model would silently ignore.",
  TensorShape: "The shape of a tensor disagrees with the config.",
  ContextExceeded: "A sequence would grow beyond the positions the model was made for.",
  InvalidTokens: "A step has no tokens or a token id beyond the vocabulary.",
} as const;

/** A stable name for one way in which this package fails. */
export type ModelsErrorCode = keyof typeof modelsErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package except an abort, which throws the signal's own reason. */
export class ModelsError extends Error {
  override readonly name = "ModelsError";
  readonly code: ModelsErrorCode;
  /** The file, tensor, field and numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: ModelsErrorCode,
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
  static isInstance(value: unknown): value is ModelsError {
    return value instanceof Error && brand in value && value.name === "ModelsError";
  }
}
