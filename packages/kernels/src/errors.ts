/** Every error code of this package with what it means: the source of the type and of the documentation. */
export const kernelsErrors = {
  ShapeMismatch: "Sizes of tensors, weights, pools or arrays do not fit together.",
  IndexOutOfRange: "A token id, row, position, slot or page lies outside what it points into.",
  InvalidArgument: "A number or option is not allowed (heads not divisible, a window of 0, …).",
  UnsupportedStorage: "The device cannot hold weights or caches of this format.",
  UnsupportedPlatform: "The machine lacks what the device needs.",
  OutOfMemory: "The device has no room; nothing was allocated.",
  Released: "The resource was released, or its device destroyed.",
  ForeignResource: "The resource belongs to another device.",
  DeviceLost: "The hardware or its driver went away; make a new device and load the model again.",
  DeviceFailure: "The hardware reported an error in work that was given to it.",
} as const;

/** A stable name for one way in which a device fails. */
export type KernelsErrorCode = keyof typeof kernelsErrors;

const brand = Symbol.for("@transmla/error");

/** Every error a device throws on purpose; the device stays usable after it. */
export class KernelsError extends Error {
  override readonly name = "KernelsError";
  readonly code: KernelsErrorCode;
  /** The numbers of the message, for programs. */
  readonly context: Readonly<Record<string, unknown>>;
  readonly [brand] = true;

  constructor(
    code: KernelsErrorCode,
    message: string,
    context: Readonly<Record<string, unknown>> = {},
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.code = code;
    this.context = context;
  }

  /** Works across the ESM and CommonJS copies of this class, where `instanceof` does not. */
  static isInstance(value: unknown): value is KernelsError {
    return (
      typeof value === "object" &&
      value !== null &&
      (value as { [brand]?: unknown })[brand] === true &&
      (value as { name?: unknown }).name === "KernelsError"
    );
  }
}
