import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { modelFolderPath } from "@transmla/sample-model";
import { describe, expect, it } from "vitest";
import { goldenModel, temporaryFolder, transmla, transmlaJson } from "../testing";

/** A conversion of the sample model that takes a second. */
const quick = [
  "--method",
  "transmla",
  "--samples",
  "2",
  "--sequence-length",
  "24",
  "--freqfold",
  "2",
];

const newFolder = async () => join(await temporaryFolder(), "out");

describe("convert", () => {
  it("compresses the sample model with its own text and carries the tokenizer over", async () => {
    const out = await newFolder();
    const { code, result } = await transmlaJson([
      "convert",
      "sample",
      out,
      "--keep",
      "50%",
      ...quick,
    ]);
    expect(code).toBe(0);
    expect(result).toEqual({
      method: "transmla",
      format: "native",
      kvLoraRank: 96,
      ropeDim: 32,
      freqFold: 2,
      cacheBefore: 1536,
      cacheAfter: 768,
      keptFraction: 0.5,
      calibrationTokens: 48,
      outputBytes: expect.any(Number),
      seconds: {
        preparation: expect.any(Number),
        conversion: expect.any(Number),
        total: expect.any(Number),
      },
      peakRssBytes: expect.any(Number),
      layers: Array.from({ length: 6 }, (_, layer) => ({
        layer,
        kvLoraRank: 96,
        ropeDim: 32,
        keptEnergy: expect.any(Number),
        outputError: expect.any(Number),
      })),
      warnings: [expect.stringContaining("48 calibration tokens cannot measure 193 dimensions")],
    });
    expect((await readdir(out)).toSorted()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const argv = ["generate", out, "--prompt", "ROMEO:", "--max-tokens", "3"];
    expect(await transmlaJson(argv)).toMatchObject({ code: 0, result: { promptTokens: 2 } });
  });

  it("writes shards of the size asked for", async () => {
    const out = await newFolder();
    const argv = ["convert", "sample", out, ...quick, "--max-shard-size", "2MB"];
    expect((await transmlaJson(argv)).code).toBe(0);
    const shards = (await readdir(out)).filter((name) => name.endsWith(".safetensors"));
    expect(shards.length).toBeGreaterThan(2);
    for (const name of shards) {
      expect((await stat(join(out, name))).size).toBeLessThan(2.1e6);
    }
    expect((await transmlaJson(["inspect", out])).code).toBe(0);
  });

  it("keeps a quarter unless told otherwise, in the sizes that are given", async () => {
    const plan = async (...flags: string[]) =>
      (await transmlaJson(["convert", "sample", "./never", "--dry-run", ...flags])).result;
    expect(await plan()).toMatchObject({ method: "output-aware", keptFraction: 0.25 });
    expect(await plan("--method", "transmla")).toMatchObject({ freqFold: "auto" });
    expect(await plan("--keep", "12.5%")).toMatchObject({ cacheAfter: 192 });
    expect(await plan("--kv-rank", "40", "--rope-dim", "8")).toMatchObject({
      kvLoraRank: 40,
      ropeDim: 8,
      cacheAfter: 6 * 48,
    });
    expect(await plan("--method", "exact")).toMatchObject({
      keptFraction: 1,
      calibrationTokens: 0,
    });
  });

  it("leaves steps out", async () => {
    const weights = async (...flags: string[]) => {
      const out = await newFolder();
      const few = ["--samples", "2", "--sequence-length", "9"];
      await transmla(["convert", "sample", out, ...few, ...flags]);
      return readFile(join(out, "model.safetensors"));
    };
    const whole = await weights();
    const one = await weights("--without", "complex");
    const two = await weights("--without", "complex,centring");
    expect(one.equals(whole)).toBe(false);
    expect(two.equals(one)).toBe(false);
  });

  it("gives the same bytes again, and others for another seed", async () => {
    const weights = async (seed: string) => {
      const out = await newFolder();
      await transmla(["convert", "sample", out, ...quick, "--seed", seed]);
      return readFile(join(out, "model.safetensors"));
    };
    const first = await weights("7");
    expect(first.equals(await weights("7"))).toBe(true);
    expect(first.equals(await weights("8"))).toBe(false);
  });

  it("writes a DeepSeek folder, which runs", async () => {
    const out = await newFolder();
    const argv = ["convert", "sample", out, "--format", "deepseek", "--keep", "50%", ...quick];
    expect(await transmlaJson(argv)).toMatchObject({
      code: 0,
      result: { format: "deepseek", kvLoraRank: 96, ropeDim: 32, cacheAfter: 768 },
    });
    const config = JSON.parse(await readFile(join(out, "config.json"), "utf8")) as object;
    expect(config).toMatchObject({ model_type: "deepseek_v3", kv_lora_rank: 96, head_dim: 32 });
    const { result } = await transmlaJson(["inspect", out]);
    expect(result).toMatchObject({ family: "deepseek_v3", attention: "mla", kvLoraRank: 96 });
    const generate = ["generate", out, "--prompt", "ROMEO:", "--max-tokens", "3"];
    expect(await transmlaJson(generate)).toMatchObject({ code: 0, result: { promptTokens: 2 } });
  });

  it("refuses before anything is read what the DeepSeek layout cannot say", async () => {
    const out = await newFolder();
    const refused = async (model: string, ...flags: string[]) => {
      // No text is given: the refusal comes before it is missed.
      const argv = ["convert", model, out, "--format", "deepseek", ...flags];
      const { code, result } = await transmlaJson(argv);
      return { code, error: (result["error"] as { code: string }).code };
    };
    const unsupported = { code: 1, error: "UnsupportedFormat" };
    expect(await refused("sample", "--method", "exact")).toEqual(unsupported);
    expect(await refused(goldenModel("mixtral"))).toEqual(unsupported);
    expect(await refused(goldenModel("llama-bias"))).toEqual(unsupported);
    expect(await refused("sample", "--kv-rank", "96", "--rope-dim", "34")).toMatchObject({
      code: 2,
    });
  });

  it("writes the type that is asked for", async () => {
    const out = await newFolder();
    await transmla(["convert", goldenModel("llama"), out, "--method", "exact", "--dtype", "f16"]);
    expect((await transmlaJson(["inspect", out])).result).toMatchObject({ dtype: "f16" });
  });

  it("reads a GGUF file, with a text of one's own or none", async () => {
    const out = await newFolder();
    const argv = ["convert", goldenModel("llama/model.gguf"), out, "--method", "exact"];
    expect(await transmlaJson(argv)).toMatchObject({ code: 0, result: { cacheAfter: 64 } });
  });

  it("tells a person what became of the cache and of every layer", async () => {
    const out = await newFolder();
    const { stdout, stderr } = await transmla([
      "convert",
      "sample",
      out,
      "--keep",
      "50%",
      ...quick,
    ]);
    expect(stdout).toContain("1,536 → 768 numbers per token (50.0 %)");
    expect(stdout).toMatch(/^layer {2}latent {2}rotated {2}energy kept {2}output error\n {4}0 /m);
    expect(stdout).toMatch(/Wrote .*out \(6\.3 MB\) in /);
    expect(stderr).toContain(`transmla compare sample ${out}`);
  });
});

describe("a dry run", () => {
  it("prints the plan and writes nothing", async () => {
    const folder = await temporaryFolder();
    const argv = ["convert", "sample", join(folder, "a", "b"), "--dry-run"];
    const { code, result } = await transmlaJson(argv);
    expect(code).toBe(0);
    expect(result).toMatchObject({
      dryRun: true,
      cacheBefore: 1536,
      cacheAfter: 384,
      calibrationTokens: 64 * 256,
      files: [{ file: "model.safetensors", bytes: result["outputBytes"] }],
    });
    // The attention of six layers in float32, beside the output.
    expect(Number(result["diskBytes"])).toBeGreaterThan(Number(result["outputBytes"]) + 4 * 6e4);
    expect(Number(result["freeDiskBytes"])).toBeGreaterThan(Number(result["diskBytes"]));
    // Measured: 362 MB.
    expect(Number(result["memoryBytes"]) / 362e6).toBeCloseTo(1, 0);
    const { stdout } = await transmla(argv);
    expect(stdout).toMatch(/layers\.\*\.self_attn\.kv_a_proj\.weight +\[32, 192\] +bf16 +6 {2}new/);
    expect(stdout).toMatch(/Memory: about 3\d\d\.?\d* MB at the most, of .* here\./);
    expect(stdout).toContain("Nothing was written.");
    expect(await readdir(folder)).toEqual([]);
  });

  it("plans exactly what is then written", async () => {
    const out = await newFolder();
    const argv = ["convert", "sample", out, "--method", "exact"];
    const { result } = await transmlaJson([...argv, "--dry-run"]);
    await transmla(argv);
    const { size } = await stat(join(out, "model.safetensors"));
    expect(result).toMatchObject({ outputBytes: size });
  });
});

describe("refusals, before anything is written", () => {
  const cases: readonly (readonly [what: string, flags: readonly string[], message: RegExp])[] = [
    ["sizes for the exact method", ["--method", "exact", "--keep", "25%"], /leave --keep out/],
    [
      "a text for the exact method",
      ["--method", "exact", "--calibration", "a.txt"],
      /--calibration/,
    ],
    ["half of a pair", ["--kv-rank", "16"], /both --kv-rank and --rope-dim/],
    ["both ways of giving sizes", ["--keep", "25%", "--kv-rank", "16"], /either --keep/],
    ["a rotation that does not fit", ["--kv-rank", "16", "--rope-dim", "3"], /--rope-dim 3/],
    ["a latent that is too wide", ["--kv-rank", "9999", "--rope-dim", "8"], /--kv-rank 9999/],
    ["a fold that does not fit", ["--method", "transmla", "--freqfold", "3"], /--freqfold 3/],
    ["a step that is none", ["--without", "centring,luck"], /complex, queryAware, .*outputRefit/],
    [
      "steps of a method that has none",
      ["--method", "transmla", "--without", "complex"],
      /leave --without out/,
    ],
    ["a fold where none is used", ["--freqfold", "2"], /leave --freqfold out/],
    ["a query rank that is too large", ["--method", "transmla", "--q-rank", "9999"], /--q-rank/],
    ["sequences beyond the context", ["--sequence-length", "1025"], /1024 tokens/],
  ];

  it.each(cases)("%s: exit 2", async (_, flags, message) => {
    const out = await newFolder();
    const { code, stderr } = await transmla(["convert", "sample", out, ...flags]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    await expect(stat(out)).rejects.toThrow("ENOENT");
  });

  it("a model of one's own without a text: exit 2", async () => {
    const out = await newFolder();
    const { code, stderr } = await transmla(["convert", goldenModel("llama"), out]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--calibration FILE is needed/);
  });

  it.each([
    ["too short", "Two words.", "TextTooShort"],
    ["empty", "", "TextTooShort"],
    ["not UTF-8", Uint8Array.of(0x66, 0xff, 0xfe), "TextNotUtf8"],
  ])("a text that is %s: exit 1", async (_, content, errorCode) => {
    const folder = await temporaryFolder();
    const text = join(folder, "text.txt");
    await writeFile(text, content);
    const argv = ["convert", "sample", join(folder, "out"), "--calibration", text];
    const { code, result } = await transmlaJson(argv);
    expect(code).toBe(1);
    expect(result).toMatchObject({ error: { code: errorCode } });
    expect(await readdir(folder)).toEqual(["text.txt"]);
  });

  it("the input as the output, also through a link: exit 1", async () => {
    const folder = await temporaryFolder();
    const link = join(folder, "link");
    await symlink(modelFolderPath(), link);
    for (const out of [modelFolderPath(), link]) {
      const { code, result } = await transmlaJson(["convert", "sample", out, "--method", "exact"]);
      expect(code).toBe(1);
      expect(result).toMatchObject({ error: { code: "OutputIsInput" } });
    }
  });

  it("an output that holds a model, which stays as it is: exit 1", async () => {
    const out = await newFolder();
    const argv = ["convert", goldenModel("llama"), out, "--method", "exact"];
    await transmla(argv);
    const before = await readFile(join(out, "model.safetensors"));
    expect(await transmlaJson(argv)).toMatchObject({
      code: 1,
      result: { error: { code: "OutputExists" } },
    });
    expect((await readFile(join(out, "model.safetensors"))).equals(before)).toBe(true);
  });

  it("a model that is converted already: exit 1", async () => {
    const out = await newFolder();
    await transmla(["convert", goldenModel("llama"), out, "--method", "exact"]);
    const again = await transmlaJson(["convert", out, `${out}2`, "--method", "exact"]);
    expect(again).toMatchObject({ code: 1, result: { error: { code: "AlreadyLatent" } } });
  });
});

describe("a short text", () => {
  it("is used with a warning that samples overlap", async () => {
    const folder = await temporaryFolder();
    const text = join(folder, "text.txt");
    await writeFile(text, "What light through yonder window breaks? ".repeat(8));
    const argv = ["convert", "sample", join(folder, "out"), "--calibration", text, "--dry-run"];
    const { code, stderr } = await transmla([...argv, "--sequence-length", "32", "--quiet"]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^warning: .* so 64 samples of 32 overlap\.\n$/);
  });
});

describe("Ctrl-C", () => {
  const short = ["--samples", "4", "--sequence-length", "24", "--keep", "50%"];
  const interrupted = ["convert", "sample"];

  it("before the first layer leaves nothing: exit 130", async () => {
    const folder = await temporaryFolder();
    const argv = [...interrupted, join(folder, "a", "b"), "--method", "transmla", ...short];
    const { code, stdout, stderr } = await transmla(argv, {
      isTTY: true,
      interruptAt: "choosing freqfold  ",
    });
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
    expect(stderr).toMatch(/interrupted.*\[Interrupted\]/);
    expect(await readdir(folder)).toEqual([]);
  });

  it("later keeps finished layers, and --resume goes on with them to the same bytes", async () => {
    const folder = await temporaryFolder();
    const [out, whole] = [join(folder, "out"), join(folder, "whole")];
    await mkdir(out);
    await writeFile(join(out, "notes.txt"), "mine");
    const stopped = await transmla([...interrupted, out, ...short, "--json"], {
      isTTY: true,
      interruptAt: "converting  ",
    });
    expect(stopped.code).toBe(130);
    expect(JSON.parse(stopped.stdout)).toEqual({
      error: { code: "Interrupted", message: "interrupted", context: {} },
    });
    expect(stopped.stderr).toMatch(/\d of 6 layers are kept in .*--resume/);
    const kept = await readdir(out);
    expect(kept.every((name) => name === "notes.txt" || name.startsWith(".transmla-layer"))).toBe(
      true,
    );
    const layer = kept.find((name) => name.startsWith("."))!;
    const leftover = await readFile(join(out, layer));
    const again = await transmlaJson([...interrupted, out, ...short]);
    expect(again).toMatchObject({ code: 1, result: { error: { code: "OutputExists" } } });
    expect(again.stderr).toContain("add --resume");
    const other = await transmlaJson([...interrupted, out, ...short, "--resume", "--seed", "9"]);
    expect(other).toMatchObject({ code: 1, result: { error: { code: "ResumeMismatch" } } });
    expect((await transmlaJson([...interrupted, out, ...short, "--resume"])).code).toBe(0);
    expect((await transmlaJson([...interrupted, whole, ...short])).code).toBe(0);
    // As if it had been killed while it cleared up.
    await writeFile(join(out, layer), leftover);
    const finished = await transmlaJson([...interrupted, out, ...short, "--resume"]);
    expect(finished).toMatchObject({ code: 1, result: { error: { code: "OutputExists" } } });
    expect(finished.stderr).toContain("complete model");
    const names = await readdir(whole);
    expect((await readdir(out)).toSorted()).toEqual([...names, "notes.txt"].toSorted());
    for (const name of names) {
      const [resumed, expected] = await Promise.all(
        [out, whole].map((f) => readFile(join(f, name))),
      );
      expect(resumed!.equals(expected!), name).toBe(true);
    }
  });
});
