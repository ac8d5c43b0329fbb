import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { TensorIoError, tensorIoErrors } from "./errors";

test("isInstance knows errors of another copy of the package, and nothing else", () => {
  const error = new TensorIoError("JsonSyntax", "m", { at: 1 }, { cause: 2 });
  expect(error).toMatchObject({
    name: "TensorIoError",
    code: "JsonSyntax",
    message: "m",
    cause: 2,
  });
  expect(error.context).toEqual({ at: 1 });
  expect(TensorIoError.isInstance(error)).toBe(true);
  const brand = Symbol.for("@transmla/error");
  expect(TensorIoError.isInstance({ name: "TensorIoError", [brand]: true })).toBe(true);
  expect(TensorIoError.isInstance({ name: "KernelError", [brand]: true })).toBe(false);
  expect(TensorIoError.isInstance(new Error("x"))).toBe(false);
  expect([null, undefined, "x"].some((value) => TensorIoError.isInstance(value))).toBe(false);
});

test("every code has a test that provokes it", async () => {
  const root = fileURLToPath(new URL(".", import.meta.url));
  const files = (await readdir(root, { recursive: true })).filter((file) =>
    file.endsWith(".test.ts"),
  );
  const texts = await Promise.all(files.map((file) => readFile(join(root, file), "utf8")));
  const all = texts.join("\n");
  expect(Object.keys(tensorIoErrors).filter((code) => !all.includes(`"${code}"`))).toEqual([]);
});
