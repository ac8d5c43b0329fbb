import { readdir } from "node:fs/promises";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { temporaryFolder, transmla, transmlaJson } from "../testing";
import { demoOf } from "./demo";

/** The demo in a few seconds. */
const tableFor = (...keptParts: number[]) => [
  demoOf({
    textTokens: 6,
    evaluationTokens: 128,
    evaluationContext: 64,
    calibration: { samples: 8, sequenceLength: 32, seed: 0 },
    keptParts,
  }),
];

/** Gives the demo a folder for temporary files of its own. */
async function temporaryFiles(): Promise<() => Promise<string[]>> {
  const folder = await temporaryFolder();
  for (const name of ["TMPDIR", "TEMP", "TMP"]) vi.stubEnv(name, folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  return () => readdir(folder);
}

interface Measurement {
  readonly perplexity: number;
  readonly kvCacheNumbersPerToken: number;
  readonly text: string;
}

const measurement = (kvCacheNumbersPerToken: number) => ({
  perplexity: expect.any(Number),
  kvCacheNumbersPerToken,
  text: expect.any(String),
});

describe("demo", () => {
  it("measures the original, the exact and the compressed models, and leaves nothing", async () => {
    const leftovers = await temporaryFiles();
    const { code, result } = await transmlaJson(["demo"], { table: tableFor(0.5, 0.25) });
    expect(code).toBe(0);
    expect(result).toEqual({
      original: measurement(1536),
      exact: measurement(1536),
      compressed: [measurement(768), measurement(384)],
      prompt: "ROMEO:\n",
      seconds: expect.any(Number),
    });
    const { original, exact } = result as unknown as Record<"original" | "exact", Measurement>;
    expect(exact.perplexity).toBeCloseTo(original.perplexity, 2);
    expect(exact.text).toBe(original.text);
    expect(await leftovers()).toEqual([]);
  });

  it("tells the story in a table that fits a terminal of 80 columns", async () => {
    const { code, stdout } = await transmla(["demo"], { table: tableFor(0.25) });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^model +cached numbers per token {2}cache {2}perplexity$/m);
    expect(stdout).toMatch(/^original \(GQA\) +1,536 {2}100 % +\d+\.\d\d$/m);
    expect(stdout).toMatch(/^compressed \(MLA\) +384 {3}25 % +\d+\.\d\d$/m);
    expect(stdout).toContain("Next: transmla convert sample");
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });

  it("stops at Ctrl-C and leaves nothing", async () => {
    const leftovers = await temporaryFiles();
    const interrupted = { isTTY: true, interruptAt: "25 %: converting", table: tableFor(0.25) };
    expect(await transmla(["demo"], interrupted)).toMatchObject({ code: 130 });
    expect(await leftovers()).toEqual([]);
  });
});
