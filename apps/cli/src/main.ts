import { run } from "./program";

const controller = new AbortController();

process.once("SIGINT", () => {
  controller.abort(new Error("interrupted"));
  // Whoever presses it again does not want to wait for the cleaning up.
  process.once("SIGINT", () => process.exit(130));
});
process.once("SIGTERM", () => controller.abort(new Error("terminated")));

// The reader of a pipe may leave before the end (`transmla … | head`); then there is nobody to tell.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  controller.abort(new Error("nobody reads the output"));
});

process.exitCode = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: controller.signal,
});
