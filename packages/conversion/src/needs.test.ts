import { openModel } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { conversionNeeds } from "./needs";
import { planConversion } from "./plan";
import type { ConversionOptions } from "./options";

async function needsOf(options: ConversionOptions, setting = { tokens: 16_384, gemm: 90e9 }) {
  const files = await openModel(folder(modelFolderPath()));
  await files.close();
  const plan = planConversion(files, options);
  return { plan, needs: conversionNeeds(plan, setting) };
}

it("disk is exact: the files, and four bytes per number of the attention until the end", async () => {
  const { plan, needs } = await needsOf({ method: "exact" });
  expect(needs.outputBytes).toBe(plan.shards.totalBytes);
  // Six layers: queries of 8 heads, keys and values of 128 each, output; up-projections per group.
  const made = plan.tensors.filter(({ convertedLayer }) => convertedLayer !== undefined);
  const numbers = made.map(({ shape }) => shape.reduce((product, size) => product * size, 1));
  expect(needs.resumeBytes).toBe(4 * numbers.reduce((sum, size) => sum + size, 0));
  expect(needs.seconds).toBe(0);
});

it("memory is near what the process took on the sample model", async () => {
  const megabytes = async (options: ConversionOptions, tokens: number) =>
    (await needsOf(options, { tokens, gemm: 90e9 })).needs.memoryBytes / 1e6;
  // Peak resident set of `transmla convert sample`, 16, 64 and 160 sequences of 256 tokens.
  const measured = [
    [4096, 314],
    [16_384, 362],
    [40_960, 437],
  ] as const;
  for (const [tokens, peak] of measured) {
    const planned = await megabytes({ method: "output-aware", keep: 0.25 }, tokens);
    expect(planned / peak).toBeGreaterThan(0.8);
    expect(planned / peak).toBeLessThan(1.25);
  }
  expect((await megabytes({ method: "exact" }, 0)) / 112).toBeCloseTo(1.1, 0);
});

it("time grows with the text and falls with the machine", async () => {
  const options = { method: "transmla", keep: 0.25 } as const;
  const seconds = async (tokens: number, gemm: number) =>
    (await needsOf(options, { tokens, gemm })).needs.seconds;
  const one = await seconds(16_384, 90e9);
  // Measured on two threads: 9.1 s.
  expect(one).toBeCloseTo(9.1, 0);
  expect(await seconds(32_768, 90e9)).toBeCloseTo(2 * one, 6);
  expect(await seconds(16_384, 180e9)).toBeCloseTo(one / 2, 6);
});
