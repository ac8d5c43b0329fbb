import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { calibrationTextUrl } from "@transmla/sample-model";
import { describe, expect, it } from "vitest";
import { Mirror } from "../../apps/cli/src/hub/testing-mirror.ts";
import { counted } from "./counts.ts";
import { filesBelow, hashes, sampleCopy, temporaryFolder } from "./folders.ts";
import { random } from "./random.ts";
import { runCli, type Surroundings } from "./run-cli.ts";

const text = fileURLToPath(calibrationTextUrl());

interface Job {
  readonly argv: (input: string, out: string) => readonly string[];
  readonly kills: number;
  /** A model that loads is the end of it: killed after that, there is nothing to go on with. */
  readonly endsWithModel?: boolean;
  /** What a result is compared by. */
  readonly result: (out: string) => Promise<unknown>;
}

const convert = "convert --keep 25% --samples 8 --sequence-length 128 --max-shard-size 2MB";
const train = "train --steps 24 --batch 128 --context 64 --save-every 2";

const jobs: Readonly<Record<string, Job>> = {
  "a conversion": {
    argv: (input, out) => [...convert.split(" "), "--calibration", text, input, out],
    kills: 12,
    endsWithModel: true,
    result: hashes,
  },
  "a training run": {
    argv: (input, out) => [...train.split(" "), "--text", text, input, out],
    kills: 12,
    result: async (out) => ({ files: await wholeFiles(out), losses: await losses(out) }),
  },
};

/** The log tells the time of every step: its losses are compared, not its bytes. */
const LOG = "training-losses.jsonl";

async function wholeFiles(out: string): Promise<string[]> {
  return (await hashes(out)).filter((line) => !line.endsWith(LOG));
}

async function losses(out: string): Promise<unknown[]> {
  const lines = (await readFile(join(out, LOG), "utf8")).trim().split("\n");
  return lines.map((line) => {
    const { step, loss } = JSON.parse(line) as { step: number; loss: number };
    return [step, loss];
  });
}

/** Runs it until it ends by itself, killed at a random moment every time before that, or `isEnd` after a kill. */
async function untilDone(
  argv: readonly string[],
  seconds: number,
  next: () => number,
  { isEnd, ...around }: Surroundings & { readonly isEnd?: () => Promise<boolean> } = {},
): Promise<{ readonly kills: number; readonly ended: boolean }> {
  for (let kills = 0; ;) {
    const killAfter = 1000 * (0.2 + next() * seconds);
    const { signal, code, stderr } = await runCli(argv, { ...around, killAfter });
    if (signal !== "SIGKILL") {
      expect(stderr).toBe("");
      expect(code).toBe(0);
      return { kills, ended: true };
    }
    kills++;
    if (await isEnd?.()) return { kills, ended: false };
  }
}

describe("killed at any moment and run again", () => {
  for (const [name, { argv, kills, result, endsWithModel = false }] of Object.entries(jobs)) {
    it(`${name} gives the bytes of an uninterrupted one`, async ({ task }) => {
      const { path, untouched } = await sampleCopy();
      const folder = await temporaryFolder();
      const whole = await runCli([...argv(path, join(folder, "whole")), "--quiet"]);
      expect(whole).toMatchObject({ code: 0, stderr: "" });
      const expected = await result(join(folder, "whole"));
      const next = random(1);
      for (let killed = 0, runs = 0; killed < kills; runs++) {
        const out = join(folder, `run-${runs}`);
        const resumable = [...argv(path, out), "--resume", "--quiet"];
        const isEnd = async () => endsWithModel && (await filesBelow(out)).includes("config.json");
        const { kills: more, ended } = await untilDone(resumable, whole.seconds, next, { isEnd });
        expect(await result(out)).toEqual(expected);
        if (ended) expect(await hiddenFiles(out)).toEqual([]);
        counted(task, { kills: more });
        killed += more;
      }
      expect(await untouched()).toBe(true);
    });
  }

  it("a download goes on and has the announced bytes", async ({ task }) => {
    const mirror = await Mirror.start();
    mirror.pace = 20;
    const next = random(2);
    const { path } = await sampleCopy();
    for (let killed = 0; killed < 8;) {
      const cache = await temporaryFolder();
      const env = { HF_ENDPOINT: mirror.endpoint, HF_HUB_CACHE: cache };
      const { kills: more } = await untilDone(["inspect", "tiny/sample", "--quiet"], 2, next, {
        env,
      });
      const snapshot = join(cache, "models--tiny--sample", "snapshots");
      const [commit] = await readdir(snapshot);
      expect(await hashes(join(snapshot, commit!))).toEqual(await hashes(path));
      const left = await filesBelow(cache);
      expect(left.filter((file) => file.endsWith(".incomplete"))).toEqual([]);
      counted(task, { kills: more });
      killed += more;
    }
  });

  it("a conversation goes on from its last whole turn", async ({ task }) => {
    const next = random(3);
    const state = await temporaryFolder();
    const env = { XDG_STATE_HOME: state };
    const talk = ["chat", "sample", "--max-tokens", "8", "--chat", "drill", "--quiet"];
    const kills = 10;
    for (let killed = 0; killed < kills; killed++) {
      const killAfter = 300 + next() * 1500;
      const { code } = await runCli(talk, { env, killAfter, input: "Who?\nWhere?\nWhen?\n" });
      expect([0, null]).toContain(code);
      const again = await runCli(talk, { env, input: "Who?\n" });
      expect(again).toMatchObject({ code: 0 });
      expect(again.stderr).not.toMatch(/Unreadable|error/);
      counted(task, { kills: code === null ? 1 : 0 });
    }
    const left = (await filesBelow(state)).map((file) => basename(file));
    expect(left).toEqual(["cache.safetensors", "chat.json"]);
  });
});

async function hiddenFiles(out: string): Promise<string[]> {
  return (await filesBelow(out)).filter((file) => file.startsWith("."));
}
