import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { randomTokens } from "../random.mjs";

const program = fileURLToPath(new URL("../../../apps/cli/bin/transmla.js", import.meta.url));

/** `transmla serve` on loopback, with the first task of `ours-serve.mjs`: streamed completions, each on a connection of its own. */
export async function start({ path, threads, weights = "stored", vocabulary, flags = [] }) {
  const options = ["--port", "0", "--threads", `${threads}`, "--weights", weights];
  const server = spawn(
    process.execPath,
    [...flags, program, "serve", path, ...options, "--cache-bytes", "512MB", "--name", "bench"],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const url = await addressOf(server);
  let seed = 0;

  async function stream({ prompt, tokens }) {
    const body = {
      model: "bench",
      prompt: Array.from(randomTokens(prompt, ++seed, vocabulary)),
      max_tokens: tokens,
      temperature: 0,
      stream: true,
      stream_options: { include_usage: true },
    };
    const started = performance.now();
    const response = await fetch(`${url}/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    let first;
    let made = 0;
    for await (const line of createInterface({ input: Readable.fromWeb(response.body) })) {
      if (!line.startsWith("data: {")) continue;
      first ??= (performance.now() - started) / 1e3;
      made = JSON.parse(line.slice(6)).usage?.completion_tokens ?? made;
    }
    return { first, made };
  }

  async function run(task) {
    const started = performance.now();
    const all = await Promise.all(Array.from({ length: task.streams }, () => stream(task)));
    const seconds = (performance.now() - started) / 1e3;
    const made = all.reduce((sum, one) => sum + one.made, 0);
    return { seconds, made, firsts: all.map(({ first }) => first) };
  }
  return { facts: {}, run, close: () => server.kill("SIGKILL") };
}

/** The address that the server prints once it listens. */
async function addressOf(server) {
  for await (const line of createInterface({ input: server.stdout })) {
    const [address] = /http:\/\/\S+/.exec(line) ?? [];
    if (address) return address;
  }
  throw new Error("transmla serve did not start");
}
