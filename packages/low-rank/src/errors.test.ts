import { expect, it } from "vitest";
import { LowRankError } from "./errors";

it("recognises its own errors by brand and name, not by class", () => {
  const error = new LowRankError("NonFinite", "row 3", { row: 3 }, { cause: "why" });
  expect(LowRankError.isInstance(error)).toBe(true);
  expect(error).toMatchObject({ code: "NonFinite", context: { row: 3 }, cause: "why" });

  const brand = { [Symbol.for("@transmla/error")]: true };
  const twin = Object.assign(new Error("from the other build"), { name: "LowRankError" }, brand);
  expect(LowRankError.isInstance(twin)).toBe(true);
  expect(LowRankError.isInstance(Object.assign(new Error("another package's"), brand))).toBe(false);
  expect(
    LowRankError.isInstance(Object.assign(new Error("no brand"), { name: "LowRankError" })),
  ).toBe(false);
  expect(LowRankError.isInstance({ name: "LowRankError", ...brand })).toBe(false);
});
