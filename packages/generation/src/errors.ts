/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const generationErrors = {
  MissingTokenizer: "The folder has no tokenizer.json.",
  TokenizerNotJson: "A tokenizer file is not UTF-8 or not JSON.",
  InvalidTokenizer: "The tokenizer description has a missing, misplaced or contradictory part.",
  UnsupportedTokenizer: "The tokenizer is of a kind that this package does not run.",
  UnknownToken: "A piece of text has no token in the vocabulary.",
  InvalidOption: "An option is out of its range.",
  EmptyPrompt: "There is no prompt and the model has no token to begin with.",
  InvalidPrompt: "The prompt has a token id beyond the vocabulary.",
  PromptTooLong: "The prompt has more tokens than the model has positions.",
  CacheTooSmall: "A request may need more cache than the engine has.",
  Overloaded: "The engine's queue is full.",
  EngineClosed: "The engine takes no more requests.",
  UnsupportedSchema: "The JSON schema uses a keyword that is not supported.",
  InvalidSchema: "The JSON schema contradicts itself or is not a schema.",
  ConstraintDeadEnd:
    "The vocabulary has no token that could continue the text as the constraint demands.",
  MissingTemplate: "The model has no chat template.",
  InvalidTemplate: "The chat template cannot be read.",
  TemplateFailed: "The chat template refused the messages or failed on them.",
  TemplateTooCostly: "The chat template exceeded its budget of steps, text or time.",
  TextTooShort: "A text has fewer tokens than what is to be cut out of it.",
  InvalidLogits: "The logits are NaN or infinite, so that no token can be chosen.",
} as const;

/** A stable name for one way in which this package fails. */
export type GenerationErrorCode = keyof typeof generationErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package except an abort, which throws the signal's own reason. */
export class GenerationError extends Error {
  override readonly name = "GenerationError";
  readonly code: GenerationErrorCode;
  /** The option, token or numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: GenerationErrorCode,
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
  static isInstance(value: unknown): value is GenerationError {
    return value instanceof Error && brand in value && value.name === "GenerationError";
  }
}
