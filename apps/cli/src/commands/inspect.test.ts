import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenModel, temporaryFolder, transmla, transmlaJson } from "../testing";

const llama = {
  family: "llama",
  attention: "gqa",
  layers: 2,
  hidden: 32,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  dtype: "f32",
  // Two layers of 2 * 2 * 8.
  kvCacheNumbersPerToken: 64,
  vocabulary: 96,
  positions: 256,
};

describe("inspect", () => {
  it("describes the sample model", async () => {
    const { code, result, stderr } = await transmlaJson(["inspect", "sample"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(result).toEqual({
      family: "llama",
      attention: "gqa",
      layers: 6,
      hidden: 192,
      heads: 8,
      kvHeads: 4,
      headDim: 32,
      parameters: 2_853_312,
      dtype: "bf16",
      kvCacheNumbersPerToken: 6 * 2 * 4 * 32,
      vocabulary: 1024,
      positions: 1024,
      bytes: 2 * 2_853_312,
    });
  });

  it("finds the same in a folder, in shards and in a GGUF file", async () => {
    for (const path of ["llama", "llama-sharded", "llama/model.gguf"]) {
      const { code, result } = await transmlaJson(["inspect", goldenModel(path)]);
      expect(code).toBe(0);
      expect(result, path).toMatchObject(llama);
    }
  });

  it("describes the latent attention of a converted model", async () => {
    const out = join(await temporaryFolder(), "out");
    await transmla(["convert", goldenModel("llama"), out, "--method", "exact"]);
    const { result } = await transmlaJson(["inspect", out]);
    expect(result).toMatchObject({ ...llama, attention: "mla", kvLoraRank: 16, ropeDim: 16 });
  });

  it("says it in words", async () => {
    const { stdout } = await transmla(["inspect", "sample"]);
    expect(stdout).toContain("8 query heads on 4 key/value heads of 32");
    expect(stdout).toContain("2.9 M, bf16, 5.7 MB");
    expect(stdout).toContain("1,536 numbers per token");
  });

  it.each([
    ["a path that is not there", "./nothing", "ModelNotFound", "a folder, a .gguf file"],
    ["a path too long for a hub id", "a/b/c", "ModelNotFound", "a hub id such as org/name"],
    ["a folder without a config", goldenModel(".."), "MissingConfig", "config.json"],
    ["weights alone", goldenModel("llama/model.safetensors"), "ModelNotFound", "weights only"],
    ["another file", goldenModel("llama/config.json"), "GgufBadMagic", "config.json"],
  ])("refuses %s", async (_, model, code, advice) => {
    const { code: exitCode, result } = await transmlaJson(["inspect", model]);
    expect(exitCode).toBe(1);
    expect(result).toMatchObject({ error: { code, message: expect.stringContaining(advice) } });
  });

  it("refuses a broken config with the library's own code", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "config.json"), '{"model_type": "llama", "hidden_size": 4.5}');
    const { code, stderr } = await transmla(["inspect", folder]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: .*hidden_size.*\[InvalidConfig\]\n$/);
  });
});
