import { ConversionError } from "@transmla/conversion";
import { EvaluationError } from "@transmla/evaluation";
import { expect, it } from "vitest";
import { CliError, cliErrors, describeFailure, usage, type CliErrorCode } from "./errors";

it("exits with 2 for wrong usage only", () => {
  for (const code of Object.keys(cliErrors) as CliErrorCode[]) {
    const { exitCode } = describeFailure(new CliError(code, "message"));
    expect(exitCode, code).toBe(code === "Usage" ? 2 : 1);
  }
  const option = new EvaluationError("InvalidOption", "context must be …");
  expect(describeFailure(option)).toMatchObject({ code: "InvalidOption", exitCode: 2 });
});

it("keeps code and context of every package's errors, from any copy of the package", () => {
  const error = new ConversionError("AlreadyLatent", "It is\n  converted.", { layer: 3 });
  const described = {
    code: "AlreadyLatent",
    message: "It is converted.",
    context: { layer: 3 },
    exitCode: 1,
  };
  expect(describeFailure(error)).toEqual(described);
  const foreign = Object.assign(new Error("It is converted."), {
    [Symbol.for("@transmla/error")]: true,
    code: "AlreadyLatent",
    context: { layer: 3 },
  });
  expect(describeFailure(foreign)).toEqual(described);
});

it("takes everything that follows an abort for the abort", () => {
  const aborted = AbortSignal.abort(new Error("interrupted"));
  const expected = { code: "Interrupted", message: "interrupted", context: {}, exitCode: 130 };
  expect(describeFailure(aborted.reason, aborted)).toEqual(expected);
  expect(describeFailure(new Error("half-way"), aborted)).toEqual(expected);
  expect(describeFailure(usage("x"), new AbortController().signal)).toMatchObject({ exitCode: 2 });
});

it("describes anything thrown", () => {
  for (const thrown of ["text", undefined, null, { code: "x" }]) {
    expect(describeFailure(thrown)).toMatchObject({ code: "Unexpected", exitCode: 1 });
  }
});
