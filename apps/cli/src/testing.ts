import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import type { Command } from "./command";
import { run } from "./program";

export interface Invocation {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly table?: readonly Command[];
  /** Lines on standard input. */
  readonly input?: readonly string[];
  /** Presses Ctrl-C as soon as standard error shows this. */
  readonly interruptAt?: string;
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process, as a shell would see it. */
export async function transmla(
  argv: readonly string[],
  { isTTY = false, columns = 80, env = {}, table, input = [], interruptAt }: Invocation = {},
): Promise<Outcome> {
  const controller = new AbortController();
  let stdout = "";
  let stderr = "";
  const io = {
    stdin: Readable.from(input.map((line) => `${line}\n`)),
    stdout: { write: (text: string) => (stdout += text), isTTY, columns },
    stderr: {
      write(text: string) {
        stderr += text;
        const interrupted = interruptAt !== undefined && text.includes(interruptAt);
        if (interrupted) controller.abort(new Error("interrupted"));
      },
      isTTY,
      columns,
    },
    env,
    signal: controller.signal,
  };
  const code = await run(argv, io, table);
  return { code, stdout, stderr };
}

/** Runs a command line with `--json` and reads the one object that it prints. */
export async function transmlaJson(argv: readonly string[], invocation: Invocation = {}) {
  const { code, stdout, stderr } = await transmla([...argv, "--json"], invocation);
  return { code, stderr, result: JSON.parse(stdout) as Readonly<Record<string, unknown>> };
}

/** A new folder that is gone after the test. */
export async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "transmla-test-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A tiny checkpoint without a tokenizer. */
export function goldenModel(path: string): string {
  return fileURLToPath(new URL(`../../../packages/models/golden/${path}`, import.meta.url));
}
