import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { version } from "../package.json";
import { temporaryFolder } from "./testing";

/** The built program, as npm links it. */
const main = fileURLToPath(new URL("../bin/transmla.js", import.meta.url));

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program; `whileRunning` may end it. */
function start(
  argv: readonly string[],
  whileRunning: (kill: () => void) => Promise<void> = async () => {},
): Promise<Exit> {
  const child = spawn(process.execPath, [main, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (data: Buffer) => (stdout += String(data)));
  child.stderr.on("data", (data: Buffer) => (stderr += String(data)));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
    whileRunning(() => child.kill("SIGINT")).catch(reject);
  });
}

it("runs as a program", async () => {
  const ended = { code: 0, signal: null, stderr: "" };
  expect(await start(["--version"])).toEqual({ ...ended, stdout: `${version}\n` });
  const inspected = await start(["inspect", "sample", "--json"]);
  expect(inspected).toMatchObject(ended);
  expect(JSON.parse(inspected.stdout)).toMatchObject({ family: "llama" });
});

it("exits with 2 for wrong usage", async () => {
  expect(await start(["inspect", "sample", "--jsn"])).toMatchObject({ code: 2, stdout: "" });
});

it("stops at Ctrl-C in the middle of writing and leaves nothing", async () => {
  const folder = await temporaryFolder();
  const out = join(folder, "out");
  const ended = await start(["convert", "sample", out], async (kill) => {
    const files = () => readdir(out).catch(() => []);
    while ((await files()).length === 0) await setTimeout(20);
    kill();
  });
  expect(ended).toMatchObject({ code: 130, signal: null, stdout: "" });
  expect(ended.stderr).toContain("error: interrupted [Interrupted]\n");
  expect(await readdir(folder)).toEqual([]);
});

it("ends quietly when nobody reads on", async () => {
  const child = spawn(process.execPath, [main, "generate", "sample", "--prompt", "A"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = new Promise((resolve) => child.on("close", resolve));
  child.stdout.once("data", () => child.stdout.destroy());
  let stderr = "";
  child.stderr.on("data", (data: Buffer) => (stderr += String(data)));
  expect(await closed).toBe(130);
  expect(stderr).toContain("error: nobody reads the output [Interrupted]\n");
});
