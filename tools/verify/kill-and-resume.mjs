// Kills `transmla convert sample` at random moments, resumes it until it is done, and compares every byte with an
// uninterrupted run: node tools/verify/kill-and-resume.mjs [kills] [seed]. Needs `npm run build`.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [kills = "20", seed = "1"] = process.argv.slice(2);
const program = fileURLToPath(new URL("../../apps/cli/bin/transmla.js", import.meta.url));
const flags = [
  "--keep",
  "25%",
  "--samples",
  "16",
  "--sequence-length",
  "128",
  "--max-shard-size",
  "2MB",
];

let state = Number(seed);
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

/** Runs a conversion; killed after `milliseconds` if it has not ended by then. */
function run(out, more, milliseconds = Infinity) {
  return new Promise((done, fail) => {
    const child = spawn(
      process.execPath,
      [program, "convert", "sample", out, ...flags, ...more, "--quiet"],
      {
        stdio: ["ignore", "ignore", "pipe"],
      },
    );
    let errors = "";
    child.stderr.on("data", (text) => (errors += text));
    const timer = Number.isFinite(milliseconds)
      ? setTimeout(() => child.kill("SIGKILL"), milliseconds)
      : undefined;
    child.on("error", fail);
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (signal === "SIGKILL") done("killed");
      else if (code === 0) done("finished");
      else fail(new Error(errors));
    });
  });
}

async function hashes(path) {
  const names = (await readdir(path)).filter((name) => !name.startsWith(".")).toSorted();
  const contents = await Promise.all(names.map((name) => readFile(join(path, name))));
  return names.map(
    (name, i) => `${createHash("sha256").update(contents[i]).digest("hex")} ${name}`,
  );
}

const folder = await mkdtemp(join(tmpdir(), "transmla-kill-"));
try {
  const whole = join(folder, "whole");
  const started = performance.now();
  await run(whole, []);
  const milliseconds = performance.now() - started;
  const expected = await hashes(whole);
  let killed = 0;
  let runs = 0;
  while (killed < Number(kills)) {
    const out = join(folder, `run-${runs++}`);
    for (let outcome = "killed"; outcome === "killed";) {
      const limit = killed < Number(kills) ? 200 + random() * milliseconds : Infinity;
      outcome = await run(out, ["--resume"], limit);
      if (outcome === "killed") {
        killed++;
        // Killed after the commit mark: the model is whole, and only finished layers may lie beside it.
        if ((await readdir(out).catch(() => [])).includes("config.json")) outcome = "finished";
      }
    }
    const actual = await hashes(out);
    if (actual.join() !== expected.join()) {
      throw new Error(
        `run ${runs} differs:\n${actual.join("\n")}\nexpected:\n${expected.join("\n")}`,
      );
    }
  }
  console.log(
    `${killed} kills over ${runs} conversions of ${(milliseconds / 1000).toFixed(1)} s each: ` +
      `${expected.length} files, every hash as in the uninterrupted run`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
