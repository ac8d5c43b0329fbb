import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

const host = fileURLToPath(new URL("host.mjs", import.meta.url));

/** How long a contender may take to end: it may have a browser to close. */
const STOP_MS = 2000;

/** A kernel gave a wrong result: the one thing that makes the bench fail. */
export class Incorrect extends Error {}

/**
 * Starts one contender in a process of its own, so that runtimes with one setting per process (threads, SIMD build) can stand
 * side by side, and so that each one's peak memory is its own.
 *
 * @param spec `{ module, options, flags }`: a file of `contenders/`, what its `start` gets, and flags for Node
 * @returns a contender `{ facts, run, close }`, or `{ missing: reason }` if it cannot run here
 */
export async function openContender({ module, options = {}, flags = [], env = {} }) {
  const child = fork(host, [], {
    execArgv: flags,
    env: { ...process.env, ...env },
    serialization: "advanced",
    stdio: ["ignore", "ignore", process.env["BENCH_DEBUG"] ? "inherit" : "ignore", "ipc"],
  });
  const call = caller(child);
  const close = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.send({ stop: true });
    const late = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    await ended;
    clearTimeout(late);
  };
  try {
    const facts = await call({ start: { module, options } });
    return { facts, run: (task) => call({ task }), close };
  } catch (error) {
    await close();
    if (error instanceof Incorrect) throw error;
    return { missing: error.message, close };
  }
}

/** Sends one message at a time and waits for its answer. */
function caller(child) {
  return (message) =>
    new Promise((resolve, reject) => {
      const settle = (act) => (value) => {
        child.off("message", onMessage);
        child.off("exit", onExit);
        act(value);
      };
      const onMessage = settle(({ value, error, incorrect }) => {
        if (error === undefined) resolve(value);
        else reject(incorrect ? new Incorrect(error) : new Error(error));
      });
      const onExit = settle((code) => reject(new Error(`the process ended with ${code}`)));
      child.on("message", onMessage);
      child.on("exit", onExit);
      child.send(message);
    });
}

/**
 * Opens contenders one after the other, gives them to `body` as a map from their names, and closes them whatever happens.
 *
 * @param specs a record of names and specs; a spec may also be `{ missing: reason }`
 */
export async function withContenders(specs, body) {
  const contenders = new Map();
  try {
    for (const [name, spec] of Object.entries(specs)) {
      contenders.set(name, spec.missing ? spec : await openContender(spec));
    }
    return await body(contenders);
  } finally {
    await Promise.all([...contenders.values()].map((contender) => contender.close?.()));
  }
}
