import { cpuDevice, type Device } from "@transmla/kernels";
import { openModel, type ModelFiles } from "@transmla/models";
import { openSafetensors, type ModelFolder } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import {
  converted,
  golden,
  goldenFolder,
  largestDifference,
  logitsOf,
  tokens,
} from "../testing-models";

interface GoldenLogits {
  readonly ids: Int32Array;
  readonly logits: Float32Array;
}

async function goldenLogits(folder: ModelFolder, prefix = ""): Promise<GoldenLogits> {
  const values = await openSafetensors(await folder.open("golden.safetensors"));
  return {
    ids: Int32Array.from(await values.read(`${prefix}input_ids`, { as: "f32" })),
    logits: await values.read(`${prefix}logits`, { as: "f32" }),
  };
}

/** Largest difference over the largest logit. */
async function relativeError(
  files: ModelFiles,
  { ids, logits }: GoldenLogits,
  device?: Device,
): Promise<number> {
  const largest = logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return largestDifference(await logitsOf(files, ids, device), logits) / largest;
}

describe("the exact conversion has the logits of Hugging Face transformers", () => {
  // Golden values of packages/models: more tokens than any window.
  it.each([
    "llama",
    "llama-llama3-rope",
    "llama-linear-rope",
    "llama-tied",
    "llama-bias",
    "mistral",
    "mistral-window",
    "mixtral",
    "qwen2",
    "mimo",
    "qwen3",
    "qwen3-window",
    "smollm3",
    "smollm3-listed",
    "gemma2",
  ])("%s", async (family) => {
    const { latent } = await converted(golden(family), { method: "exact", dtype: "f32" });
    const expected = await goldenLogits(golden(family), "long.");
    expect(await relativeError(latent, expected)).toBeLessThan(1e-4);
    expect(await relativeError(latent, expected, await cpuDevice())).toBeLessThan(1e-3);
  });
});

// Every family compressed to half of its cache (tools/golden/converted-folders.mjs), and what an evaluation without any of our code
// computes with the folder (tools/golden/native_latent.py).
const compressed = [
  "llama",
  "llama-llama3-rope",
  "mistral-window",
  "mixtral",
  "qwen2",
  "mimo",
  "qwen3-window",
  "smollm3-listed",
  "gemma2",
];

describe("a compressed model has the logits of an independent evaluation", () => {
  it.each(compressed)("%s", async (family) => {
    const folder = goldenFolder(new URL(`../../golden/native/${family}`, import.meta.url));
    const files = await openModel(folder);
    expect(files.config.layers.every(({ attention }) => attention.kind === "mla")).toBe(true);
    const expected = await goldenLogits(folder);
    expect(await relativeError(files, expected)).toBeLessThan(1e-4);
    expect(await relativeError(files, expected, await cpuDevice())).toBeLessThan(1e-3);
  });
});

describe("a conversion to nine tenths of the cache keeps close to the original's logits", () => {
  const energy = (values: Float32Array) => values.reduce((sum, value) => sum + value * value, 0);
  const sequences = Array.from({ length: 8 }, (_, seed) => tokens(48, seed + 1));

  it.each(compressed)("%s", async (family) => {
    const options = { method: "output-aware", keep: 0.9, steps: { splitByLoss: false } } as const;
    const { latent } = await converted(golden(family), options, sequences);
    const { ids, logits } = await goldenLogits(golden(family), "long.");
    const actual = await logitsOf(latent, ids);
    const difference = energy(actual.map((value, i) => value - logits[i]));
    expect(difference / energy(logits)).toBeLessThan(0.1);
  });
});
