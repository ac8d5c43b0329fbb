import type { Activation, Shape } from "../device";
import { KernelsError, type KernelsErrorCode } from "../errors";

type Context = Readonly<Record<string, unknown>>;

/** Throws a `KernelsError` of `code` unless `condition` holds. */
export function ensure(
  condition: boolean,
  code: KernelsErrorCode,
  message: () => string,
  context: Context = {},
): asserts condition {
  if (!condition) throw new KernelsError(code, message(), context);
}

/** Throws `InvalidArgument` unless `value` is an integer of at least 1. */
export function ensureCount(name: string, value: number): void {
  ensure(
    Number.isSafeInteger(value) && value >= 1,
    "InvalidArgument",
    () => `${name} must be a whole number of at least 1, got ${value}.`,
    { [name]: value },
  );
}

/** Throws `IndexOutOfRange` unless all `indices` are in `0 … limit - 1`. */
export function ensureIndices(name: string, indices: Int32Array, limit: number): void {
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i]!;
    if (index < 0 || index >= limit) {
      throw new KernelsError(
        "IndexOutOfRange",
        `${name}[${i}] is ${index}, allowed are 0 to ${limit - 1}.`,
        { name, position: i, index, limit },
      );
    }
  }
}

/** Throws `ShapeMismatch` unless `actual` is `expected`. */
export function ensureShape(name: string, actual: Shape, expected: Shape): void {
  ensure(
    actual[0] === expected[0] && actual[1] === expected[1],
    "ShapeMismatch",
    () => `${name} has shape [${actual.join(", ")}], expected [${expected.join(", ")}].`,
    { name, actual, expected },
  );
}

/** Throws `ShapeMismatch` unless `actual` is `expected`. */
export function ensureSize(name: string, actual: number, expected: number): void {
  ensure(
    actual === expected,
    "ShapeMismatch",
    () => `${name} is ${actual}, expected ${expected}.`,
    { name, actual, expected },
  );
}

/** Throws `InvalidArgument` unless `parts` divides `whole`. */
export function ensureDivides(
  partsName: string,
  parts: number,
  wholeName: string,
  whole: number,
): void {
  ensureCount(partsName, parts);
  ensure(
    whole % parts === 0,
    "InvalidArgument",
    () => `${partsName} (${parts}) must divide ${wholeName} (${whole}).`,
    { [partsName]: parts, [wholeName]: whole },
  );
}

/** Throws `InvalidArgument` for an unknown activation. */
export function ensureActivation(activation: Activation): void {
  ensure(
    activation === "silu" || activation === "gelu-tanh",
    "InvalidArgument",
    () => `Unknown activation "${String(activation)}"; use "silu" or "gelu-tanh".`,
    { activation },
  );
}
