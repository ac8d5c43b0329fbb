import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../../apps/cli/bin/transmla.js", import.meta.url));

export interface Surroundings {
  /** Run before the program by a shell: limits, mounts. */
  readonly shell?: string | undefined;
  /** In a user and mount namespace of its own, where `shell` may mount. */
  readonly namespace?: boolean | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Module that is loaded before the program. */
  readonly preload?: string | undefined;
  /** Killed without warning after so many milliseconds. */
  readonly killAfter?: number | undefined;
  /** On its standard input; nothing by default. */
  readonly input?: string | undefined;
  /** User it runs as, where this process may choose. */
  readonly uid?: number | undefined;
}

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly seconds: number;
}

/** Runs the built command line to its end. */
export function runCli(argv: readonly string[], around: Surroundings = {}): Promise<Outcome> {
  const started = performance.now();
  const child = start(argv, around);
  child.stdin!.on("error", () => {});
  child.stdin!.end(around.input ?? "");
  const texts = { stdout: "", stderr: "" };
  child.stdout!.on("data", (text: Buffer) => (texts.stdout += text.toString()));
  child.stderr!.on("data", (text: Buffer) => (texts.stderr += text.toString()));
  const timer =
    around.killAfter === undefined
      ? undefined
      : setTimeout(() => child.kill("SIGKILL"), around.killAfter);
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      done({ code, signal, ...texts, seconds: (performance.now() - started) / 1000 });
    });
  });
}

function start(
  argv: readonly string[],
  { shell, namespace, env, preload, uid }: Surroundings,
): ChildProcess {
  const node = [...(preload ? ["--import", preload] : []), program, ...argv];
  const options = {
    stdio: "pipe" as const,
    env: { ...process.env, NO_COLOR: "1", ...env },
    ...(uid !== undefined && { uid, gid: uid }),
  };
  if (shell === undefined) return spawn(process.execPath, node, options);
  const script = ["-c", `set -e; ${shell}; exec "$0" "$@"`, process.execPath, ...node];
  if (namespace) {
    return spawn("unshare", ["--user", "--map-root-user", "--mount", "bash", ...script], options);
  }
  return spawn("bash", script, options);
}
