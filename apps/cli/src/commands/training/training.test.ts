import { spawn } from "node:child_process";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { goldenModel, temporaryFolder, transmla, transmlaJson } from "../../testing";

/** Sizes that take seconds. */
const small = ["--warmup", "1", "--batch", "64", "--context", "32"];
const quick = [...small, "--steps", "4"];

const newFolder = async () => join(await temporaryFolder(), "out");

async function losses(out: string): Promise<number[]> {
  const lines = (await readFile(join(out, "training-losses.jsonl"), "utf8")).trim().split("\n");
  const values = lines.map((line) => JSON.parse(line) as { readonly loss?: number });
  return values.flatMap(({ loss }) => (loss === undefined ? [] : [loss]));
}

describe("train", () => {
  it("learns the text of the sample model and writes a model that runs", async () => {
    const out = await newFolder();
    const report = join(await temporaryFolder(), "run.html");
    const argv = ["train", "sample", out, ...quick, "--rate", "3e-4", "--report", report];
    const { code, result } = await transmlaJson([...argv, "--validate-every", "2"]);
    expect({ code, result }).toMatchObject({ code: 0, result: { steps: 4, tokens: 256 } });
    expect(await losses(out)).toEqual(result["loss"]);
    expect((await readdir(out)).toSorted()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
      "training-losses.jsonl",
    ]);
    const page = await readFile(report, "utf8");
    expect(page).toContain("<h2>Loss</h2>");
    expect(page).toContain("cross-entropy");
    const generate = ["generate", out, "--prompt", "ROMEO:", "--max-tokens", "3"];
    expect(await transmlaJson(generate)).toMatchObject({ code: 0, result: { promptTokens: 2 } });
  });

  it("learns completions only", async () => {
    const folder = await temporaryFolder();
    const data = join(folder, "data.jsonl");
    const line = JSON.stringify({ prompt: "Who is there?", completion: " A friend to Caesar." });
    await writeFile(data, `${line}\n${line}\n`);
    const out = join(folder, "out");
    const argv = ["train", "sample", out, "--data", data, "--train", "adapters", "--rank", "4"];
    const { code, result } = await transmlaJson([
      ...argv,
      ...small,
      "--steps",
      "30",
      "--rate",
      "1e-2",
    ]);
    expect(code).toBe(0);
    const curve = result["loss"] as number[];
    expect(curve.at(-1)!).toBeLessThan(0.3 * curve[0]!);
    const generate = ["generate", out, "--prompt", "Who is there?", "--max-tokens", "4"];
    const { result: said } = await transmlaJson([...generate, "--temperature", "0"]);
    expect(said["text"]).toContain("friend");
  });

  it("prints a plan without writing anything", async () => {
    const out = await newFolder();
    const { code, stdout } = await transmla(["train", "sample", out, "--dry-run"]);
    expect(code).toBe(0);
    expect(stdout).toContain("200 of 2,048 tokens");
    expect(stdout).toMatch(/memory +\d+ MB: parameters/);
    await expect(readdir(out)).rejects.toThrow();
  });

  it.each([
    [["--data", "a.jsonl", "--text", "b.txt"], "--text"],
    [["--warmup", "4", "--steps", "4"], "--warmup"],
    [["--context", "65", "--batch", "64"], "--context"],
    [["--context", "5000", "--batch", "6000"], "--context"],
    [["--train", "everything"], "train"],
  ])("refuses %j", async (wrong, named) => {
    const out = await newFolder();
    const { code, stderr } = await transmla(["train", "sample", out, ...wrong]);
    expect(code).toBe(2);
    expect(stderr).toContain(named);
    await expect(readdir(out)).rejects.toThrow();
  });

  it("refuses what has no gradient and what is not to be learnt, before anything is written", async () => {
    const out = await newFolder();
    const text = ["--text", "sample"];
    const experts = await transmlaJson(["train", goldenModel("mixtral"), out, ...text, ...quick]);
    expect(experts).toMatchObject({ code: 1, result: { error: { code: "UnsupportedModel" } } });
    const data = join(await temporaryFolder(), "bad.jsonl");
    await writeFile(data, '{"text": "good"}\n{"text": 3}\n');
    const bad = await transmlaJson(["train", "sample", out, "--data", data, ...quick]);
    expect(bad).toMatchObject({ code: 1, result: { error: { code: "InvalidData" } } });
    await expect(readdir(out)).rejects.toThrow();
  });
});

describe("distill", () => {
  const distil = (out: string, ...flags: string[]) => [
    "distill",
    "sample",
    out,
    "--teacher",
    "sample",
    ...quick,
    ...flags,
  ];

  it("finds nothing to learn from itself", async () => {
    const { code, result } = await transmlaJson(distil(await newFolder()));
    expect(code).toBe(0);
    for (const loss of result["loss"] as number[]) expect(loss).toBeLessThan(1e-5);
  });

  it("is stopped by Ctrl-C and goes on to the same curve", async () => {
    const flags = ["--cross-entropy", "1", "--validate-every", "1"];
    const [whole, out] = [await newFolder(), await newFolder()];
    await transmla(distil(whole, ...flags));
    const stopped = await transmla(distil(out, ...flags), { interruptAt: "step 2: loss" });
    expect(stopped.code).toBe(130);
    expect(await readdir(out)).toContain("training-state.safetensors");
    const again = await transmlaJson(distil(out, ...flags));
    expect(again).toMatchObject({ code: 1, result: { error: { code: "OutputExists" } } });
    const other = await transmlaJson(distil(out, ...flags, "--resume", "--seed", "1"));
    expect(other).toMatchObject({ code: 1, result: { error: { code: "SettingsChanged" } } });
    expect((await transmla(distil(out, ...flags, "--resume"))).code).toBe(0);
    expect(await losses(out)).toEqual(await losses(whole));
    const weights = [whole, out].map((folder) => readFile(join(folder, "model.safetensors")));
    const [first, second] = await Promise.all(weights);
    expect(second!.equals(first!)).toBe(true);
  });

  it.for([{ written: ["model.safetensors"] }, { written: ["model.safetensors", "config.json"] }])(
    "goes on where it was killed after it had written $written",
    async ({ written }) => {
      const flags = ["--cross-entropy", "1", "--validate-every", "1"];
      const [whole, out] = [await newFolder(), await newFolder()];
      await transmla(distil(whole, ...flags));
      const stopped = await transmla(distil(out, ...flags), { interruptAt: "step 2: loss" });
      expect(stopped.code).toBe(130);
      for (const name of written) await cp(join(whole, name), join(out, name));
      const again = await transmlaJson(distil(out, ...flags));
      expect(again).toMatchObject({ code: 1, result: { error: { code: "OutputExists" } } });
      expect(await transmlaJson(distil(out, ...flags, "--resume"))).toMatchObject({ code: 0 });
      expect((await readdir(out)).toSorted()).toEqual((await readdir(whole)).toSorted());
      expect(await losses(out)).toEqual(await losses(whole));
    },
  );

  it("keeps the teacher's logits in a file and learns the same from them again", async () => {
    const [first, second] = [await newFolder(), await newFolder()];
    const folder = await temporaryFolder();
    const text = join(folder, "text.txt");
    await writeFile(text, "Now is the winter of our discontent made glorious summer. ".repeat(20));
    const cache = join(folder, "teacher.safetensors");
    const flags = ["--text", text, "--teacher-cache", cache, "--top-k", "16"];
    const made = await transmlaJson(distil(first, ...flags));
    expect(made.code).toBe(0);
    const before = await readFile(cache);
    const used = await transmlaJson(distil(second, ...flags));
    expect(used.result["loss"]).toEqual(made.result["loss"]);
    expect((await readFile(cache)).equals(before)).toBe(true);
    await writeFile(
      text,
      "Another text altogether, and not the one that the teacher was asked about. ".repeat(9),
    );
    const other = await transmlaJson(distil(await newFolder(), ...flags));
    expect(other).toMatchObject({ code: 1, result: { error: { code: "SettingsChanged" } } });
    const attention = await transmla(distil(await newFolder(), ...flags, "--attention", "1"));
    expect(attention.code).toBe(2);
  });

  it("asks for a teacher that speaks the same tokens", async () => {
    const out = await newFolder();
    const missing = await transmla(["distill", "sample", out, ...quick]);
    expect(missing).toMatchObject({ code: 2 });
    expect(missing.stderr).toContain("--teacher");
    const argv = ["distill", "sample", out, "--teacher", goldenModel("llama"), ...quick];
    expect(await transmlaJson(argv)).toMatchObject({
      code: 1,
      result: { error: { code: "TeacherMismatch" } },
    });
  });
});

const built = fileURLToPath(new URL("../../../bin/transmla.js", import.meta.url));

describe("a killed process", () => {
  it("goes on to the same curve", async () => {
    const out = await newFolder();
    const argv = ["train", "sample", out, ...small, "--steps", "40", "--save-every", "3"];
    const whole = await newFolder();
    const run = (folder: string, extra: readonly string[], killAt: number) =>
      new Promise<void>((resolve) => {
        const args = [built, argv[0]!, argv[1]!, folder, ...argv.slice(3), ...extra];
        const child = spawn(process.execPath, args, { stdio: "ignore" });
        const timer = setInterval(() => {
          if (killAt === 0) return;
          void losses(folder).then(
            (seen) => seen.length >= killAt && child.kill("SIGKILL"),
            () => undefined,
          );
        }, 20);
        child.on("exit", () => {
          clearInterval(timer);
          resolve();
        });
      });
    await Promise.all([run(whole, [], 0), run(out, [], 8)]);
    expect(await readdir(out)).not.toContain("config.json");
    await run(out, ["--resume"], 0);
    expect(await losses(out)).toEqual(await losses(whole));
  });
});
