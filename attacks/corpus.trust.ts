import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { transmla } from "../apps/cli/src/testing";
import { counted } from "../tools/trust/counts";
import crateVerdicts from "./crate-verdicts.json";
import { kinds, type Attack, type Files } from "./attack";
import { modelAttacks } from "./corpus";
import { libraryVerdict } from "./library";
import { written } from "./written";

/** Everything bad is refused within this time, in milliseconds, on a machine that does other work as well. */
const patience = 10_000;

interface Verdict {
  readonly name: string;
  readonly verdict: string;
}

/** What a way in says of every attack of a kind, in the form of what is expected. */
async function verdicts(
  attacks: readonly Attack[],
  judge: (attack: Attack) => Promise<string>,
): Promise<Verdict[]> {
  const result: Verdict[] = [];
  for (const attack of attacks) {
    const start = performance.now();
    const verdict = await judge(attack);
    const late = performance.now() - start > patience;
    result.push({ name: attack.name, verdict: late ? "too late" : verdict });
  }
  return result;
}

const expected = (attacks: readonly Attack[], verdict: (attack: Attack) => string): Verdict[] =>
  attacks.map((attack) => ({ name: attack.name, verdict: verdict(attack) }));

/** Where the corpus is written: a folder that is gone afterwards, or the one that somebody wants it in. */
const wanted = process.env["TRANSMLA_ATTACKS"];
const folder = wanted ?? (await mkdtemp(join(tmpdir(), "transmla-attacks-")));
if (wanted === undefined) afterAll(() => rm(folder, { recursive: true, force: true }));

/** The code at the end of the last line of a command that talks to a model. */
async function commandLineVerdict(files: Files, name: string): Promise<string> {
  const path = await written(files, join(folder, name));
  const { code, stderr } = await transmla(
    ["chat", path, "--device", "reference", "--max-tokens", "2", "--quiet", "--temperature", "0"],
    { input: ["Who is there?"], env: { XDG_STATE_HOME: join(folder, "state") } },
  );
  const [, error] = /^error: .+ \[(\w+)\]\n$/m.exec(stderr) ?? [];
  if (code === 0 && error === undefined) return "sound";
  // A template fails at a turn, after which the conversation can go on.
  if (code === 0 && error?.startsWith("Template")) return error;
  return code === 1 && error !== undefined ? error : `exit code ${code}: ${stderr}`;
}

for (const kind of kinds) {
  const attacks = modelAttacks.filter((attack) => attack.kind === kind);
  if (attacks.length === 0) continue;

  describe(`bad files: ${kind}`, () => {
    it("the library refuses each with its code", async ({ task }) => {
      const all = await verdicts(attacks, ({ bad }) => libraryVerdict(bad));
      expect(all).toEqual(expected(attacks, ({ code }) => code));
      counted(task, { files: attacks.length });
    });

    it("the command line says the same", async ({ task }) => {
      const all = await verdicts(attacks, ({ bad, name }) =>
        commandLineVerdict(bad, join(kind, name)),
      );
      expect(all).toEqual(expected(attacks, ({ code }) => code));
      counted(task, { files: attacks.length });
    });

    it("both take the sound twins", async ({ task }) => {
      const twins = [...new Set(attacks.map(({ twin }) => twin))];
      for (const [i, twin] of twins.entries()) {
        expect(await libraryVerdict(twin)).toBe("sound");
        expect(await commandLineVerdict(twin, join(kind, `twin ${i}`))).toBe("sound");
      }
      counted(task, { files: 2 * twins.length });
    });
  });
}

describe("bad files: safetensors", () => {
  const attacks = modelAttacks.filter(({ kind }) => kind === "safetensors");

  it("the Rust crate says the same, but where it is said why", ({ task }) => {
    const taken = Object.entries(crateVerdicts).filter(([, error]) => error === null);
    const explained = attacks.filter(({ crateTakesIt }) => crateTakesIt !== undefined);
    expect(Object.keys(crateVerdicts).toSorted()).toEqual(
      attacks.map(({ name }) => name).toSorted(),
    );
    expect(taken.map(([name]) => name).toSorted()).toEqual(
      explained.map(({ name }) => name).toSorted(),
    );
    counted(task, { files: attacks.length });
  });
});
