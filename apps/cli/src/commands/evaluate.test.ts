import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenModel, temporaryFolder, transmla, transmlaJson } from "../testing";

const few = ["--max-tokens", "96", "--context", "48"];

describe("evaluate", () => {
  it("measures the sample model on its own text", async () => {
    const { code, result } = await transmlaJson(["evaluate", "sample", ...few]);
    expect(code).toBe(0);
    expect(result).toEqual({
      perplexity: expect.any(Number),
      nll: expect.any(Number),
      // Two windows of 48, without the first token of each.
      tokens: 94,
      seconds: expect.any(Number),
      tokensPerSecond: expect.any(Number),
      context: 48,
      kvCacheNumbersPerToken: 1536,
    });
    const { perplexity, nll } = result as { perplexity: number; nll: number };
    expect(perplexity).toBeCloseTo(Math.exp(nll), 10);
    // It knows the text: a model that knows nothing has the size of the vocabulary, 1024.
    expect(perplexity).toBeLessThan(150);
  });

  it("reads a file, and `sample` as the text of the sample model", async () => {
    const text = join(await temporaryFolder(), "text.txt");
    await writeFile(text, "xq zj ".repeat(50));
    const measure = async (name: string) => {
      const { result } = await transmlaJson(["evaluate", "sample", "--text", name, ...few]);
      return (result as { perplexity: number }).perplexity;
    };
    const { result } = await transmlaJson(["evaluate", "sample", ...few]);
    expect(await measure("sample")).toBe((result as { perplexity: number }).perplexity);
    expect(await measure(text)).not.toBe(await measure("sample"));
  });

  it("computes the same on the reference device", async () => {
    const on = async (device: string) => {
      const argv = ["evaluate", "sample", "--max-tokens", "16", "--device", device];
      return (await transmlaJson(argv)).result as { nll: number };
    };
    expect((await on("cpu")).nll).toBeCloseTo((await on("reference")).nll, 4);
  });

  it("says it in words, with progress beside it", async () => {
    const { stdout, stderr } = await transmla(["evaluate", "sample", ...few], { isTTY: true });
    expect(stdout).toMatch(/perplexity.*\d+\.\d{3}/);
    expect(stdout).toContain("94 predicted, in windows of 48");
    expect(stderr).toContain("evaluating sample");
    expect(stderr.endsWith("\r\u001B[K")).toBe(true);
    const quiet = await transmla(["evaluate", "sample", ...few, "--quiet"], { isTTY: true });
    expect(quiet).toMatchObject({ code: 0, stderr: "" });
  });

  it.each([
    ["a text for a model of one's own", [goldenModel("llama")], 2, "Usage"],
    ["a window the model can see", ["sample", "--context", "1025"], 2, "Usage"],
    ["a text that exists", ["sample", "--text", "./none.txt"], 1, "FileNotFound"],
    ["a text that is a file", ["sample", "--text", goldenModel("llama")], 1, "NotAFile"],
    ["a tokenizer", [goldenModel("llama"), "--text", "sample"], 1, "MissingTokenizer"],
  ])("needs %s", async (_, argv, exitCode, errorCode) => {
    const { code, result } = await transmlaJson(["evaluate", ...argv]);
    expect(code).toBe(exitCode);
    expect(result).toMatchObject({ error: { code: errorCode } });
  });

  it("needs two tokens", async () => {
    const text = join(await temporaryFolder(), "empty.txt");
    await writeFile(text, "");
    const { code, result } = await transmlaJson(["evaluate", "sample", "--text", text]);
    expect(code).toBe(1);
    expect(result).toMatchObject({
      error: { code: "TextTooShort", message: expect.stringContaining("need 2 tokens, got 0") },
    });
  });

  it("stops at Ctrl-C", async () => {
    const interrupted = { isTTY: true, interruptAt: "evaluating sample" };
    expect(await transmla(["evaluate", "sample"], interrupted)).toMatchObject({
      code: 130,
      stdout: "",
    });
  });
});

it("keeps weights and cache as asked, at little cost in perplexity", async () => {
  const measure = async (...flags: string[]) => {
    const { result } = await transmlaJson(["evaluate", "sample", ...few, ...flags]);
    return (result as { perplexity: number }).perplexity;
  };
  const plain = await measure();
  for (const flags of [
    ["--weights", "i8"],
    ["--cache", "i8"],
    ["--cache", "bf16"],
  ]) {
    const rounded = await measure(...flags);
    expect(rounded).not.toBe(plain);
    expect(Math.abs(rounded / plain - 1)).toBeLessThan(0.02);
  }
});
