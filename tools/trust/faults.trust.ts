import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { calibrationTextUrl } from "@transmla/sample-model";
import { describe, expect, it } from "vitest";
import { counted } from "./counts.ts";
import { filesBelow, hashes, sampleCopy, temporaryFolder } from "./folders.ts";
import { runCli, type Outcome, type Surroundings } from "./run-cli.ts";

const preload = (name: string) => fileURLToPath(new URL(`preload/${name}.mjs`, import.meta.url));
const isRoot = process.getuid?.() === 0;
/** A user without rights, where this process may become one. */
const nobody: Surroundings = isRoot ? { uid: 65534 } : {};
const mounts = spawnSync("unshare", ["--user", "--map-root-user", "--mount", "true"]).status === 0;

const text = fileURLToPath(calibrationTextUrl());
const words = (line: string) => [...line.split(" "), text];

/** Work that writes large files, and the words with which it goes on after a fault. */
const jobs = {
  convert: {
    argv: words(
      "convert --samples 8 --sequence-length 64 --kv-rank 48 --rope-dim 16 --calibration",
    ),
    again: ["--resume"],
    out: "converted",
  },
  train: {
    argv: words("train --steps 4 --warmup 1 --batch 128 --context 64 --save-every 2 --text"),
    again: ["--resume"],
    out: "trained",
  },
  export: { argv: ["export"], again: [], out: "model.gguf" },
} as const;

type JobName = keyof typeof jobs;

/** Where a job reads and writes. */
async function placeOf(name: JobName) {
  const { path: input, untouched } = await sampleCopy();
  const folder = await temporaryFolder();
  // Where somebody else may look.
  for (const path of [folder, join(input, "..")]) await chmod(path, 0o755);
  const out = join(folder, jobs[name].out);
  const run = (around: Surroundings = {}, more: readonly string[] = [], to = out) =>
    runCli([...jobs[name].argv, input, to, "--quiet", ...more], around);
  return { input, folder, out, untouched, run };
}

/** One line that says what is wrong, with one of the codes; no trace, no signal, nothing that loads. */
function expectRefusal({ code, signal, stderr }: Outcome, codes: readonly string[]): void {
  expect({ code, signal }).toEqual({ code: 1, signal: null });
  const lines = stderr.trim().split("\n");
  expect(lines.at(-1)).toMatch(new RegExp(`^error: .+ \\[(${codes.join("|")})\\]$`));
  expect(stderr).not.toMatch(/^ +at /m);
}

/** Files under final names that an unfinished job must not leave: whatever a loader would take for a model. */
async function loadable(folder: string): Promise<string[]> {
  const files = await filesBelow(folder);
  return files.filter((name) => /(^|\/)(config\.json|[^/.][^/]*\.gguf)$/.test(name));
}

/** The log of a training run tells the time. */
const bytesOf = async (path: string) =>
  (await hashes(path)).filter((line) => !line.endsWith("training-losses.jsonl"));

describe.each(Object.keys(jobs) as JobName[])("%s", (name) => {
  it("says what a file-size limit stopped, leaves nothing that loads, and a rerun works", async ({
    task,
  }) => {
    const { folder, out, run, untouched } = await placeOf(name);
    // Blocks of 1,024 bytes: less than the model, more than a layer.
    expectRefusal(await run({ shell: "ulimit -f 1000" }), [
      "WriteFailed",
      "DiskFull",
      "OutputUnusable",
    ]);
    expect(await loadable(folder)).toEqual([]);
    expect(await run({}, jobs[name].again)).toMatchObject({ code: 0 });
    const whole = join(folder, `whole-${jobs[name].out}`);
    expect(await run({}, [], whole)).toMatchObject({ code: 0 });
    expect(await sameBytes(out, whole)).toBe(true);
    expect(await untouched()).toBe(true);
    counted(task, { faults: 1 });
  });

  it("says what a read-only folder refused", async ({ task }) => {
    const { folder, run } = await placeOf(name);
    const closed = join(folder, "closed");
    await mkdir(closed);
    await chmod(closed, 0o555);
    const to = join(closed, jobs[name].out);
    expectRefusal(await run(nobody, [], to), ["OutputUnusable", "WriteFailed"]);
    expect(await readdir(closed)).toEqual([]);
    counted(task, { faults: 1 });
  });

  it.runIf(mounts)("says how much a full disk lacks, before it begins", async ({ task }) => {
    const { folder, run } = await placeOf(name);
    const disk = join(folder, "disk");
    await mkdir(disk);
    const shell = `mount -t tmpfs -o size=2m trust ${disk}`;
    const to = join(disk, jobs[name].out);
    expectRefusal(await run({ shell, namespace: true }, [], to), ["DiskFull"]);
    counted(task, { faults: 1 });
  });

  it("does not care what the wall clock says", async ({ task }) => {
    const { folder, out, run } = await placeOf(name);
    expect(await run({ preload: preload("clock-jumps") })).toMatchObject({ code: 0 });
    const whole = join(folder, `whole-${jobs[name].out}`);
    expect(await run({}, [], whole)).toMatchObject({ code: 0 });
    expect(await sameBytes(out, whole)).toBe(true);
    counted(task, { faults: 1 });
  });
});

async function sameBytes(a: string, b: string): Promise<boolean> {
  if (a.endsWith(".gguf")) return (await readFile(a)).equals(await readFile(b));
  return (await bytesOf(a)).join() === (await bytesOf(b)).join();
}

describe("an interrupted conversion", () => {
  it("survives that no file descriptor is left, and goes on", async ({ task }) => {
    const { folder, out, run } = await placeOf("convert");
    const env = { TRUST_BEGUN: join(out, ".transmla.lock") };
    const shell = "ulimit -n 80";
    expectRefusal(await run({ shell, env, preload: preload("no-descriptors") }), [
      "WriteFailed",
      "ReadFailed",
      "OutputUnusable",
    ]);
    expect(await loadable(folder)).toEqual([]);
    expect(await run({}, ["--resume"])).toMatchObject({ code: 0 });
    counted(task, { faults: 1 });
  });

  it("finds a flipped bit in what is finished, does that again, and gives the same bytes", async ({
    task,
  }) => {
    const { folder, out, run } = await placeOf("convert");
    const whole = join(folder, "whole");
    const { seconds } = await run({}, [], whole);
    let flips = 0;
    for (let attempt = 1; attempt <= 6; attempt++) {
      await run({ killAfter: (1000 * seconds * attempt) / 6 }, ["--resume"]);
      if ((await filesBelow(out)).includes("config.json")) break;
      for (const name of await filesBelow(out)) {
        const path = join(out, name);
        const bytes = await readFile(path);
        if (bytes.length < 1000) continue;
        bytes[Math.floor(bytes.length * 0.7)]! ^= 0x10;
        await writeFile(path, bytes);
        flips++;
      }
    }
    expect(flips).toBeGreaterThan(0);
    if (!(await readdir(out)).includes("config.json")) {
      expect(await run({}, ["--resume"])).toMatchObject({ code: 0 });
    }
    expect(await hashes(out)).toEqual(await hashes(whole));
    counted(task, { faults: flips });
  });

  it("is left alone by a second one into its folder", async ({ task }) => {
    const { out, run, folder } = await placeOf("convert");
    const [first, second] = await Promise.all([run(), run()]);
    const codes = [first.code, second.code].toSorted();
    expect(codes).toEqual([0, 1]);
    expectRefusal(first.code === 1 ? first : second, ["OutputBusy", "OutputExists"]);
    expect(await run({}, [], join(folder, "whole"))).toMatchObject({ code: 0 });
    expect(await hashes(out)).toEqual(await hashes(join(folder, "whole")));
    counted(task, { faults: 1 });
  });
});
