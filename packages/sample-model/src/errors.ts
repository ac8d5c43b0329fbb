/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const sampleModelErrors = {
  UnknownFile: "The sample model has no file of that name.",
  NotOnDisk: "The package was not loaded from a file, so that its model has no folder path.",
} as const;

/** A stable name for one way in which this package fails. */
export type SampleModelErrorCode = keyof typeof sampleModelErrors;

const brand = Symbol.for("@transmla/error");

/** Any failure of this package. */
export class SampleModelError extends Error {
  override readonly name = "SampleModelError";
  readonly code: SampleModelErrorCode;
  /** The file name or address that the message was made of. */
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: SampleModelErrorCode,
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
  static isInstance(value: unknown): value is SampleModelError {
    return value instanceof Error && brand in value && value.name === "SampleModelError";
  }
}
