import { copyFile, cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { modelFolderPath } from "@transmla/sample-model";
import { describe, expect, it } from "vitest";
import { goldenModel, temporaryFolder, transmla, transmlaJson } from "../testing";

const few = ["--max-tokens", "64", "--context", "32"];

describe("compare", () => {
  it("finds no difference between a model and itself", async () => {
    const { code, result } = await transmlaJson(["compare", "sample", "sample", ...few]);
    expect(code).toBe(0);
    expect(result).toEqual({
      meanKl: 0,
      maxLogitDifference: 0,
      topAgreement: 1,
      perplexityA: expect.any(Number),
      perplexityB: expect.any(Number),
      tokens: 64,
      seconds: expect.any(Number),
      context: 32,
    });
  });

  it("finds rounding alone in an exact conversion, and more in a compressed one", async () => {
    const folder = await temporaryFolder();
    const [exact, small] = [join(folder, "exact"), join(folder, "small")];
    const sizes = ["--samples", "4", "--sequence-length", "24"];
    await transmla(["convert", "sample", exact, "--method", "exact"]);
    await transmla(["convert", "sample", small, "--keep", "25%", ...sizes]);
    const divergence = async (b: string) => {
      const { result } = await transmlaJson(["compare", "sample", b, ...few]);
      return result as { meanKl: number; maxLogitDifference: number; perplexityA: number };
    };
    const rounding = await divergence(exact);
    expect(rounding.meanKl).toBeLessThan(1e-6);
    expect(rounding.maxLogitDifference).toBeLessThan(1e-2);
    expect((await divergence(small)).meanKl).toBeGreaterThan(0.05);
    // Either of the two may bring the text.
    const reversed = await transmlaJson(["compare", exact, "sample", ...few]);
    expect(reversed.result).toMatchObject({ perplexityB: rounding.perplexityA });
    const measured = ["evaluate", "sample", ...few];
    expect((await transmlaJson(measured)).result).toMatchObject({
      perplexity: rounding.perplexityA,
    });
  });

  it("says it in words", async () => {
    const { stdout } = await transmla(["compare", "sample", "sample", ...few]);
    expect(stdout).toContain("sample → sample");
    expect(stdout).toContain("100.00 %");
    expect(stdout).toContain("64 tokens in windows of 32");
  });

  it("refuses models that split the text differently", async () => {
    const other = join(await temporaryFolder(), "other");
    await cp(modelFolderPath(), other, { recursive: true });
    const path = join(other, "tokenizer.json");
    const tokenizer = JSON.parse(await readFile(path, "utf8")) as { model: { merges: unknown[] } };
    tokenizer.model.merges = tokenizer.model.merges.slice(0, 100);
    await writeFile(path, JSON.stringify(tokenizer));
    const { code, result } = await transmlaJson(["compare", "sample", other, ...few]);
    expect(code).toBe(1);
    expect(result).toMatchObject({ error: { code: "TokenizerMismatch" } });
  });

  it("refuses models of different vocabularies", async () => {
    const other = join(await temporaryFolder(), "other");
    await cp(goldenModel("llama"), other, { recursive: true });
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
      await copyFile(join(modelFolderPath(), name), join(other, name));
    }
    const { code, result } = await transmlaJson(["compare", "sample", other, ...few]);
    expect(code).toBe(1);
    expect(result).toMatchObject({ error: { code: "VocabularyMismatch" } });
  });
});
