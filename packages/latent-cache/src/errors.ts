/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const latentCacheErrors = {
  CacheFull: "The cache has fewer free pages than the tokens need.",
  SequenceReleased: "A sequence was used after it was released.",
  UnknownTokens: "The tokens of a sequence were appended without their ids.",
  InvalidSnapshot: "Bytes are no snapshot, or were changed since it was made.",
  SnapshotMismatch: "A snapshot belongs to another model, or to a cache that keeps something else.",
  InvalidArgument: "A size or length is out of range.",
} as const;

/** A stable name for one way in which this package fails. */
export type LatentCacheErrorCode = keyof typeof latentCacheErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package except an abort, which throws the signal's own reason. */
export class LatentCacheError extends Error {
  override readonly name = "LatentCacheError";
  readonly code: LatentCacheErrorCode;
  /** The file, tensor, field and numbers that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: LatentCacheErrorCode,
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
  static isInstance(value: unknown): value is LatentCacheError {
    return value instanceof Error && brand in value && value.name === "LatentCacheError";
  }
}
