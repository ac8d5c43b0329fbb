import { expect, test } from "vitest";
import { KernelsError } from "./errors";

test("a KernelsError carries code, context and cause", () => {
  const cause = new RangeError("inner");
  const error = new KernelsError("OutOfMemory", "No room.", { bytes: 5 }, { cause });
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ name: "KernelsError", code: "OutOfMemory", context: { bytes: 5 } });
  expect(error.cause).toBe(cause);
});

test("isInstance knows errors of another copy of the class, and nothing else", () => {
  const brand = Symbol.for("@transmla/error");
  expect(KernelsError.isInstance(new KernelsError("Released", ""))).toBe(true);
  expect(KernelsError.isInstance({ [brand]: true, name: "KernelsError" })).toBe(true);
  expect(KernelsError.isInstance({ [brand]: true, name: "OtherError" })).toBe(false);
  expect(KernelsError.isInstance(new Error("KernelsError"))).toBe(false);
  expect(KernelsError.isInstance(null)).toBe(false);
  expect(KernelsError.isInstance("KernelsError")).toBe(false);
});
