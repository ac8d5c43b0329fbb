import { spawn } from "node:child_process";

/** What a child of this run says when it ends badly. */
export class ProcessFailed extends Error {}

/**
 * The programs this run starts. Each leads a process group, so that ending one ends what it has started; none outlives `stopAll`.
 */
export class Processes {
  #running = new Set();
  #stopped = false;

  /**
   * Runs a program to its end and returns what it printed.
   * @param {string} command
   * @param {string[]} args
   * @param {{ cwd: string, env?: Record<string, string | undefined> }} options
   * @returns {Promise<string>}
   */
  run(command, args, { cwd, env = process.env }) {
    if (this.#stopped) return Promise.reject(new ProcessFailed("stopped"));
    const child = spawn(command, args, {
      cwd,
      env,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#running.add(child);
    let printed = "";
    let errors = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (printed += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
    return new Promise((resolve, reject) => {
      const failed = (why) =>
        reject(
          new ProcessFailed(`${command} ${args.join(" ")} in ${cwd}: ${why}\n${printed}${errors}`),
        );
      child.on("error", ({ message }) => failed(message));
      child.on("close", (code, signal) => {
        this.#running.delete(child);
        if (code === 0) resolve(printed);
        else failed(signal ?? `exit code ${code}`);
      });
    });
  }

  /** Ends everything that still runs and starts nothing any more. */
  stopAll() {
    this.#stopped = true;
    for (const { pid } of this.#running) {
      try {
        if (pid !== undefined) process.kill(-pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    }
  }
}
