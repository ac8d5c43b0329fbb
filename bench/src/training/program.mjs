import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const program = fileURLToPath(new URL("../../../apps/cli/bin/transmla.js", import.meta.url));

/** Runs the program as a user does; what it prints with `--json`. */
export async function transmla(...argv) {
  const options = { maxBuffer: 1 << 26 };
  const { stdout } = await run(process.execPath, [program, ...argv, "--json"], options);
  return JSON.parse(stdout);
}
