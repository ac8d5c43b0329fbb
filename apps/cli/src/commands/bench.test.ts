import { describe, expect, it } from "vitest";
import { transmla, transmlaJson } from "../testing";

const quick = ["--context", "8,24", "--decode-tokens", "2"];

describe("bench", () => {
  it("sets measured speed beside what the machine could do", async () => {
    const { code, result } = await transmlaJson(["bench", "sample", ...quick]);
    expect(code).toBe(0);
    const { machine, rows } = result as {
      machine: { bandwidth: number; gemm: number };
      rows: Record<
        "context" | "prefill" | "prefillPredicted" | "decode" | "decodePredicted",
        number
      >[];
    };
    expect(machine.bandwidth).toBeGreaterThan(1e8);
    expect(machine.gemm).toBeGreaterThan(1e8);
    expect(rows.map(({ context }) => context)).toEqual([8, 24]);
    for (const { prefill, prefillPredicted, decode, decodePredicted } of rows) {
      expect(prefillPredicted).toBeGreaterThan(decodePredicted);
      expect(prefill).toBeGreaterThan(0);
      expect(decode).toBeGreaterThan(0);
      expect(decodePredicted).toBeGreaterThan(0);
    }
    // A longer cache can only take longer at the limit.
    expect(rows[1]!.decodePredicted).toBeLessThan(rows[0]!.decodePredicted);
  });

  it("says it in words, on the threads asked for", async () => {
    const { code, stdout } = await transmla(["bench", "sample", ...quick, "--threads", "2"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/bandwidth +[\d.]+ GB\/s/);
    expect(stdout).toMatch(/^ +24 +\d+ tokens\/s/m);
  });

  it("leaves room to decode at the model's last position", async () => {
    const flags = ["--context", "1024", "--decode-tokens", "2"];
    const { code, result } = await transmlaJson(["bench", "sample", ...flags]);
    expect(code).toBe(0);
    expect(result["rows"]).toMatchObject([{ context: 1022 }]);
  });

  it.each([
    [["--context", "8,x"], 2],
    [["--context", ""], 2],
    [["--context", "5000"], 2],
    [["--threads", "0"], 2],
    [["--threads", "65"], 2],
  ])("refuses %j", async (flags, exit) => {
    const { code, stderr } = await transmla(["bench", "sample", ...flags]);
    expect(code).toBe(exit);
    expect(stderr).toMatch(/^error: /m);
  });
});
