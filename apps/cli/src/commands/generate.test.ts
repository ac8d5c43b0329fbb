import { describe, expect, it } from "vitest";
import { transmla, transmlaJson } from "../testing";

const generate = (...flags: string[]) =>
  transmlaJson(["generate", "sample", "--prompt", "ROMEO:", ...flags]);

describe("generate", () => {
  it("continues a prompt", async () => {
    const { code, result, stderr } = await generate("--max-tokens", "8");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(result).toEqual({
      text: expect.any(String),
      tokens: expect.any(Array),
      promptTokens: 2,
      finishReason: "length",
      seconds: expect.any(Number),
      tokensPerSecond: { prefill: expect.any(Number), decode: expect.any(Number) },
      kvCacheBytes: expect.any(Number),
    });
    expect(result["tokens"]).toHaveLength(8);
    expect(result["text"]).not.toBe("");
    expect(result["kvCacheBytes"]).toBeGreaterThanOrEqual(9 * 1536 * 4);
  });

  it("has no decoding speed for a single token", async () => {
    const { result } = await generate("--max-tokens", "1");
    expect(result).toMatchObject({ tokensPerSecond: { decode: null } });
  });

  it("is greedy by default and repeats itself for a seed", async () => {
    const text = async (...flags: string[]) =>
      (await generate("--max-tokens", "12", ...flags)).result["text"];
    const sampled = ["--temperature", "1.5", "--seed"];
    expect(await text()).toBe(await text("--seed", "4"));
    expect(await text()).toBe(await text("--temperature", "2", "--top-k", "1"));
    expect(await text(...sampled, "1")).toBe(await text(...sampled, "1"));
    expect(await text(...sampled, "1")).not.toBe(await text(...sampled, "2"));
  });

  it("hands every sampling flag on", async () => {
    const text = async (...flags: string[]) => {
      const sampled = ["--max-tokens", "24", "--temperature", "1.5", "--seed", "1"];
      return (await generate(...sampled, ...flags)).result["text"];
    };
    const free = await text();
    const restricted = [
      ["--top-k", "2"],
      ["--top-p", "0.1"],
      ["--min-p", "0.9"],
      ["--repetition-penalty", "3"],
    ];
    for (const flags of restricted) expect(await text(...flags), flags[0]!).not.toBe(free);
  });

  it("stops at any of several texts, which are not part of it", async () => {
    const { result } = await generate("--stop", "zzz", "--stop", "JULIET", "--max-tokens", "100");
    expect(result).toMatchObject({ finishReason: "stop" });
    expect(result["text"]).not.toContain("JULIET");
  });

  it("streams prompt and text to standard output and its speed to standard error", async () => {
    const { result } = await generate("--max-tokens", "8");
    const argv = ["generate", "sample", "--prompt", "ROMEO:", "--max-tokens", "8"];
    const { stdout, stderr } = await transmla(argv);
    expect(stdout).toBe(`ROMEO:${String(result["text"])}\n`);
    expect(stderr).toMatch(
      /^2 prompt tokens at .* · 8 tokens at .* · KV cache .* · length reached\n$/,
    );
    expect(await transmla([...argv, "--quiet"])).toEqual({ code: 0, stdout, stderr: "" });
    const onTerminal = await transmla(argv, { isTTY: true });
    expect(onTerminal.stdout).toBe(`\u001B[2mROMEO:\u001B[22m${String(result["text"])}\n`);
  });

  it("refuses a prompt that the model cannot see", async () => {
    const { code, result } = await transmlaJson([
      "generate",
      "sample",
      "--prompt",
      "a b ".repeat(2000),
    ]);
    expect(code).toBe(1);
    expect(result).toMatchObject({ error: { code: "PromptTooLong" } });
  });

  it("stops at Ctrl-C", async () => {
    const interrupted = { isTTY: true, interruptAt: "loading sample" };
    const argv = ["generate", "sample", "--prompt", "ROMEO:"];
    expect(await transmla(argv, interrupted)).toMatchObject({ code: 130, stdout: "" });
  });
});
