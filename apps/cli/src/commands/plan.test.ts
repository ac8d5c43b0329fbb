import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenModel, temporaryFolder, transmla, transmlaJson } from "../testing";

/** Llama 3 70B, as its config says. */
const llama70b = {
  model_type: "llama",
  hidden_size: 8192,
  intermediate_size: 28672,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  vocab_size: 128256,
  max_position_embeddings: 8192,
  torch_dtype: "bfloat16",
};

async function configFolder(config: object = llama70b, name = "config.json") {
  const path = join(await temporaryFolder(), "model");
  await mkdir(path);
  await writeFile(join(path, name), JSON.stringify(config));
  return path;
}

interface Row {
  readonly keep?: number;
  readonly way: string;
  readonly kvLoraRank?: number;
  readonly ropeDim?: number;
  readonly cacheNumbersPerToken: number;
  readonly cacheBytesPerToken: number;
  readonly weightBytes: number;
  readonly longestContext: number;
  readonly largestBatch: number;
  readonly single: { readonly tokensPerSecond: number } | null;
  readonly batched: { readonly tokensPerSecond: number; readonly batch: number } | null;
}

async function planOf(argv: readonly string[]) {
  const { code, result, stderr } = await transmlaJson(["plan", ...argv]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return { ...result, rows: result["deployments"] as readonly Row[] };
}

describe("plan", () => {
  it("a config alone is enough for Llama 3 70B on eight H100", async () => {
    const path = await configFolder();
    const plan = await planOf([path, "--target", "h100x8"]);
    expect(plan).toMatchObject({
      model: { family: "llama", attention: "gqa", parameters: 70_553_706_496, positions: 8192 },
      target: { name: "h100x8", devices: 8 },
      context: 8192,
      cacheStorage: "bf16",
    });
    const [grouped, half] = plan.rows;
    expect(plan.rows.map(({ way }) => way)).toEqual([
      "grouped",
      ...Array.from({ length: 3 }, () => ["absorbed", "restored", "expanded"]).flat(),
    ]);
    // 80 layers of 2 x 8 x 128 numbers, of which each device has one head.
    expect(grouped).toMatchObject({
      cacheNumbersPerToken: 163_840,
      cacheBytesPerToken: 40_960,
      weightBytes: (2 * 70_553_706_496) / 8,
    });
    // Latents are copied.
    expect(half).toMatchObject({
      keep: 0.5,
      cacheNumbersPerToken: 81_920,
      cacheBytesPerToken: 163_840,
    });
    const free = 0.9 * 80 * 2 ** 30 - grouped!.weightBytes;
    expect(grouped!.longestContext).toBe(Math.floor(free / 40_960));
  });

  it("latents that are cut take an eighth of themselves and the rotated part", async () => {
    const path = await configFolder();
    const { rows } = await planOf([
      join(path, "config.json"),
      "--target",
      "h100x8",
      "--share",
      "latent",
      "--keep",
      "25%",
    ]);
    const [, absorbed] = rows;
    const { kvLoraRank = 0, ropeDim = 0 } = absorbed!;
    expect(kvLoraRank + ropeDim).toBe(512);
    expect(absorbed!.cacheBytesPerToken).toBe(80 * 2 * (Math.ceil(kvLoraRank / 8) + ropeDim));
  });

  it("a phone's browser is one flag apart, and what does not fit is said", async () => {
    const path = await configFolder();
    const { code, stdout, stderr } = await transmla(["plan", path, "--target", "phone-browser"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^grouped +328 kB +0 +0 +– +–/m);
    expect(stderr).toContain("fit in no way");
    const small = await planOf(["sample", "--target", "phone-browser", "--cache", "i8"]);
    expect(small.rows[0]!.cacheBytesPerToken).toBe(6 * 2 * (128 + 4));
    expect(small.rows.every(({ single }) => single!.tokensPerSecond > 10)).toBe(true);
  });

  it("hardware of one's own, weights in bytes, a given batch", async () => {
    const own = ["--bandwidth", "100GB", "--flops", "2TFLOPS", "--memory", "16GB"];
    const stored = await planOf(["sample", ...own, "--batch", "4"]);
    expect(stored).toMatchObject({
      target: { devices: 1, bandwidth: 1e11, flops: 2e12, memory: 1.6e10 },
    });
    const bytes = await planOf(["sample", ...own, "--weights", "i8"]);
    expect(bytes.rows[0]!.weightBytes / stored.rows[0]!.weightBytes).toBeCloseTo(0.51, 1);
    expect(stored.rows.map(({ batched }) => batched!.batch)).toEqual(stored.rows.map(() => 4));
    const twice = await planOf(["sample", ...own, "--devices", "2"]);
    expect(twice.rows[0]!.weightBytes).toBe(stored.rows[0]!.weightBytes / 2);
  });

  it("measures this machine unless told otherwise, and tells a person", async () => {
    const { code, stdout, stderr } = await transmla([
      "plan",
      "sample",
      "--keep",
      "25%,12.5%",
      "--threads",
      "2",
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^target +[\d.]+ GB\/s, [\d.]+ [GT]FLOP\/s, [\d.]+ GB/m);
    expect(stdout).toMatch(/^latent 25\.0 %, absorbed +768 B/m);
    expect(stdout).toMatch(/^12\.5 % +26 \+ 6 +about \d+ s +\d+ MB +5\.3 MB +2\.7 MB$/m);
    expect(stderr).toContain("at most");
  });

  it("plans what is latent already as it is", async () => {
    const { rows, ...plan } = await planOf([goldenModel("deepseek-v3"), "--target", "a100"]);
    expect(rows.map(({ way }) => way)).toEqual(["absorbed", "restored", "expanded"]);
    expect(plan).toMatchObject({ conversions: [], model: { attention: "mla" } });
  });

  it("reads a GGUF file's headers", async () => {
    const { rows } = await planOf([goldenModel("llama/model.gguf"), "--target", "l4"]);
    expect(rows[0]!.cacheNumbersPerToken).toBe(64);
  });

  it.each([
    [["--target", "h101"], "no device"],
    [["--target", "h100", "--memory", "1GB"], "not both"],
    [["--flops", "1T"], "needs --bandwidth"],
    [["--devices", "2"], "needs --bandwidth"],
    [["--flops", "fast"], "989TFLOPS"],
    [["--keep", "25"], "Did you mean 25%"],
    [["--keep", "0.001%", "--target", "h100"], "keep"],
    [["--share", "nothing"], "heads"],
  ])("refuses %j", async (flags, message) => {
    const { code, stderr } = await transmla(["plan", "sample", ...flags]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  it("a folder without a config is no model", async () => {
    const path = await configFolder(llama70b, "other.json");
    expect(await transmla(["plan", path, "--target", "h100"])).toMatchObject({ code: 1 });
    const named = await planOf([join(path, "other.json"), "--target", "h100x2"]);
    expect(named.rows[0]!.cacheNumbersPerToken).toBe(163_840);
  });
});
