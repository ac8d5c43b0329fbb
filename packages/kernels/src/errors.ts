/**
 * What went wrong:
 * - `ShapeMismatch`: sizes of tensors, weights, pools or arrays do not fit together.
 * - `IndexOutOfRange`: a token id, row, position, slot or page lies outside what it points into.
 * - `InvalidArgument`: a number or option is not allowed (heads not divisible, window of 0, …).
 * - `UnsupportedStorage`: the device cannot hold weights or caches of this format.
 * - `UnsupportedPlatform`: the machine lacks what the device needs.
 * - `OutOfMemory`: the device has no room; nothing was allocated.
 * - `Released`: the resource was released, or its device destroyed.
 * - `ForeignResource`: the resource belongs to another device.
 * - `DeviceLost`: the hardware or its driver went away; make a new device and load the model again.
 * - `DeviceFailure`: the hardware reported an error in work that was given to it.
 */
export type KernelsErrorCode =
  | "ShapeMismatch"
  | "IndexOutOfRange"
  | "InvalidArgument"
  | "UnsupportedStorage"
  | "UnsupportedPlatform"
  | "OutOfMemory"
  | "Released"
  | "ForeignResource"
  | "DeviceLost"
  | "DeviceFailure";

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
