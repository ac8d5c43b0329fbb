import { expect, it } from "vitest";
import { colourFor } from "./colour";
import { Terminal } from "./terminal";

const tty = { write: () => true, isTTY: true };

it("colours only where it is wanted and understood", () => {
  expect(colourFor(tty, {}).bold("a")).toBe("\u001B[1ma\u001B[22m");
  expect(colourFor(tty, { NO_COLOR: "" }).bold("a")).not.toBe("a");
  expect(colourFor(tty, { NO_COLOR: "1" }).bold("a")).toBe("a");
  expect(colourFor(tty, { TERM: "dumb" }).bold("a")).toBe("a");
  expect(colourFor({ write: () => true }, {}).bold("a")).toBe("a");
});

function terminal(mode: { json: boolean; quiet: boolean }) {
  const written = { out: "", err: "" };
  const io = {
    stdout: { write: (text: string) => (written.out += text), columns: 300 },
    stderr: { write: (text: string) => (written.err += text), isTTY: true },
    env: { NO_COLOR: "1" },
    signal: new AbortController().signal,
  };
  const made = new Terminal(io, mode);
  made.working("busy");
  made.print("result");
  made.write("piece");
  made.note("note");
  made.warn("careful");
  made.error("broken", "Code");
  return { ...written, columns: made.columns };
}

const draw = "\rbusy\u001B[K";
const clear = "\r\u001B[K";
const always = "warning: careful\nerror: broken [Code]\n";

it("prints results on one stream and everything else on the other", () => {
  expect(terminal({ json: false, quiet: false })).toEqual({
    out: "result\npiece",
    err: `${draw}${clear}note\n${always}`,
    columns: 100,
  });
});

it("keeps standard output for the JSON object", () => {
  expect(terminal({ json: true, quiet: false })).toMatchObject({
    out: "",
    err: `${draw}${clear}${always}`,
  });
});

it("is quiet but for warnings and errors", () => {
  expect(terminal({ json: false, quiet: true })).toMatchObject({
    out: "result\npiece",
    err: always,
  });
});
