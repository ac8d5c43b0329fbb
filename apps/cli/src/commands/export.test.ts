import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenModel, temporaryFolder, transmla, transmlaJson } from "../testing";

const greedy = ["--prompt", "ROMEO:", "--max-tokens", "12", "--temperature", "0"];

async function textOf(model: string): Promise<unknown> {
  const { code, result } = await transmlaJson(["generate", model, ...greedy]);
  expect(code).toBe(0);
  return result["text"];
}

describe("export", () => {
  it("writes the sample as GGUF and that as a folder again: the same text from all three", async () => {
    const folder = await temporaryFolder();
    const gguf = join(folder, "sample.gguf");
    const back = join(folder, "back");
    expect(await transmlaJson(["export", "sample", gguf])).toMatchObject({
      code: 0,
      result: { format: "gguf", tensors: 56, bytes: expect.any(Number) },
    });
    expect(await transmlaJson(["export", gguf, back])).toMatchObject({
      code: 0,
      result: { format: "safetensors", tensors: 56 },
    });
    expect((await readdir(back)).toSorted()).toEqual([
      "config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const text = await textOf("sample");
    expect(await textOf(gguf)).toBe(text);
    expect(await textOf(back)).toBe(text);
  });

  it("says what it wrote", async () => {
    const out = join(await temporaryFolder(), "small.gguf");
    const { code, stdout } = await transmla(["export", "sample", out, "--dtype", "q8_0"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/small\.gguf: 56 tensors, 3\.\d MB, written in /);
  });

  it("warns where there is no tokenizer to write", async () => {
    const out = join(await temporaryFolder(), "llama.gguf");
    const { code, stderr } = await transmla(["export", goldenModel("llama"), out]);
    expect(code).toBe(0);
    expect(stderr).toContain("the output gets no tokenizer");
  });

  it.each([
    ["a file that is there", "taken.gguf", [], "OutputExists", 1],
    ["a folder with a model", "model", [], "OutputExists", 1],
    ["a type that safetensors lacks", "out", ["--dtype", "q8_0"], "Usage", 2],
  ])("refuses %s", async (_, name, more, code, exit) => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "taken.gguf"), "");
    await transmlaJson(["export", "sample", join(folder, "model")]);
    const before = await readdir(folder);
    const outcome = await transmlaJson(["export", "sample", join(folder, name), ...more]);
    expect(outcome).toMatchObject({ code: exit, result: { error: { code } } });
    expect(await readdir(folder)).toEqual(before);
  });

  it("refuses what llama.cpp cannot carry and leaves no file", async () => {
    const folder = await temporaryFolder();
    const out = join(folder, "mixtral.gguf");
    const outcome = await transmlaJson(["export", goldenModel("mixtral"), out]);
    expect(outcome).toMatchObject({ code: 1, result: { error: { code: "UnsupportedModel" } } });
    expect(await readdir(folder)).toEqual([]);
  });
});
