import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { version } from "../package.json";
import { defineCommand } from "./command";
import { commands } from "./commands";
import { usage } from "./errors";
import { temporaryFolder, transmla, transmlaJson } from "./testing";

const failing = (error: unknown) =>
  defineCommand({
    name: "fail",
    summary: "fails",
    arguments: [],
    flags: {},
    examples: [],
    action: () => Promise.reject(error),
  });

/** Checks the command line only: the commands do nothing. */
async function expectUnderstood(line: string): Promise<void> {
  const idle = commands.map((command) => ({ ...command, run: async () => ({}) }));
  const words = Array.from(
    line.matchAll(/"([^"]*)"|(\S+)/g),
    ([, quoted, word]) => quoted ?? word!,
  );
  const { code, stderr } = await transmla(words.slice(1), { table: idle });
  expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: "" });
}

describe("help and version", () => {
  it("prints the version", async () => {
    expect(await transmla(["--version"])).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("lists every command", async () => {
    const { code, stdout } = await transmla(["--help"]);
    expect(code).toBe(0);
    for (const { name } of commands) expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  });

  it.each(commands.map(({ name }) => name))("explains %s with an example", async (name) => {
    const help = await transmla([name, "--help"]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toMatch(new RegExp(`^  \\$ transmla ${name}`, "m"));
    expect(help.stdout).toContain("--json");
    expect(await transmla(["help", name])).toEqual(help);
  });

  it.each(commands.map(({ name, examples }) => [name, examples] as const))(
    "has examples of %s that are understood",
    async (_, examples) => {
      for (const [line] of examples) await expectUnderstood(line);
    },
  );

  it("is understood as the README writes it", async () => {
    const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
    const shell = Array.from(readme.matchAll(/^```sh\n(.*?)^```$/gms), ([, block]) => block).join(
      "",
    );
    const lines = shell.split("\n").filter((line) => line.startsWith("transmla "));
    expect(lines.length).toBeGreaterThan(commands.length);
    for (const line of lines) await expectUnderstood(line);
    for (const { name } of commands) expect(shell).toMatch(new RegExp(`^transmla ${name}`, "m"));
  });
});

describe("wrong usage", () => {
  const wrong: readonly (readonly [what: string, argv: readonly string[], message: RegExp])[] = [
    ["no command", [], /demo, inspect, plan, convert/],
    ["an unknown command", ["convrt", "sample", "out"], /'convrt'.*convert/],
    ["an unknown flag", ["convert", "sample", "out", "--kep", "25%"], /--kep.*--keep/],
    ["an unknown flag like none", ["inspect", "sample", "--zzzzzz"], /--zzzzzz.*--help/],
    ["a flag of another command", ["inspect", "sample", "--keep", "25%"], /--keep/],
    ["a missing argument", ["convert", "sample"], /'out'/],
    ["an empty argument", ["inspect", ""], /'model'/],
    ["too many arguments", ["inspect", "sample", "more"], /too many/],
    ["a repeated flag", ["convert", "sample", "out", "--seed", "1", "--seed", "2"], /--seed.*once/],
    ["a repeated switch", ["inspect", "sample", "--quiet", "--quiet"], /--quiet.*once/],
    ["a switch before and after", ["--quiet", "inspect", "sample", "--quiet"], /--quiet.*once/],
    ["a flag without its value", ["evaluate", "sample", "--text"], /--text/],
    ["a switch with a value", ["inspect", "sample", "--quiet=yes"], /--quiet/],
    ["a missing flag", ["generate", "sample"], /--prompt/],
    ["an unknown device", ["inspect", "sample", "--device", "abacus"], /cpu, reference/],
    ["an unknown method", ["convert", "sample", "out", "--method", "magic"], /exact, transmla/],
    ["an unknown type", ["convert", "sample", "out", "--dtype", "f64"], /auto, bf16, f16, f32/],
    ["a fraction for a count", ["convert", "sample", "out", "--samples", "1.5"], /whole number/],
    ["a count out of range", ["convert", "sample", "out", "--samples", "1"], /from 2/],
    [
      "a number that is none",
      ["generate", "sample", "--prompt", "a", "--temperature", "hot"],
      /number/,
    ],
    [
      "a negative temperature",
      ["generate", "sample", "--prompt", "a", "--temperature", "-1"],
      /from 0/,
    ],
    [
      "a probability above 1",
      ["generate", "sample", "--prompt", "a", "--top-p", "1.5"],
      /from 0 to 1/,
    ],
    ["a part of 25", ["convert", "sample", "out", "--keep", "25"], /Did you mean 25%/],
    ["a part of 100%", ["convert", "sample", "out", "--keep", "100%"], /between 0% and 100%/],
    ["an empty file name", ["evaluate", "sample", "--text", ""], /--text/],
  ];

  it.each(wrong)("%s: exit 2, one line", async (_, argv, message) => {
    const { code, stdout, stderr } = await transmla(argv);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^error: .*\[Usage\]\n$/);
    expect(stderr).toMatch(message);
  });

  it("is told as JSON, too", async () => {
    const { code, result, stderr } = await transmlaJson([
      "convert",
      "sample",
      "out",
      "--kep",
      "25%",
    ]);
    expect(code).toBe(2);
    expect(result).toEqual({
      error: { code: "Usage", message: expect.stringContaining("--keep"), context: {} },
    });
    expect(stderr.split("\n")).toHaveLength(2);
  });

  it("does nothing", async () => {
    const folder = await temporaryFolder();
    await transmla(["convert", "sample", join(folder, "out"), "--method", "exact", "--kep", "25%"]);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("failures", () => {
  it("tells a package's error by its code, exit 1", async () => {
    const { code, result, stderr } = await transmlaJson(["inspect", "./no/such"]);
    expect(code).toBe(1);
    expect(result).toMatchObject({
      error: { code: "ModelNotFound", context: { path: "./no/such" } },
    });
    expect(stderr).toMatch(/^error: .\/no\/such .*\[ModelNotFound\]\n$/);
  });

  it("tells an unexpected error in one line, with a hint", async () => {
    const table = [failing(new TypeError("first line\n  second line"))];
    const { code, stdout, stderr } = await transmla(["fail"], { table });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toBe(
      "error: first line second line [Unexpected]\nSet TRANSMLA_DEBUG=1 to see where it happened.\n",
    );
  });

  it("shows the stack when asked", async () => {
    const error = new TypeError("odd");
    const debug = { table: [failing(error)], env: { TRANSMLA_DEBUG: "1" } };
    const { stderr } = await transmla(["fail"], debug);
    expect(stderr).toBe(`error: odd [Unexpected]\n${error.stack}\n`);
  });

  it("has an exit code for what a command finds wrong in its usage", async () => {
    expect(await transmla(["fail"], { table: [failing(usage("not so"))] })).toEqual({
      code: 2,
      stdout: "",
      stderr: "error: not so [Usage]\n",
    });
  });

  it("prints numbers of any size in a context", async () => {
    const big = usage("too big", { bytes: 2n ** 63n });
    const { result } = await transmlaJson(["fail"], { table: [failing(big)] });
    expect(result).toMatchObject({ error: { context: { bytes: "9223372036854775808" } } });
  });
});
