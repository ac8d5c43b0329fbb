import { fileURLToPath } from "node:url";
import { cpuDevice, referenceDevice, type Device } from "@transmla/kernels";
import { fileSource, folder, openSafetensors } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { loadModel } from "./load";
import { openModel, type ModelFiles } from "./open-model";

// Made by tools/golden/families.py with Hugging Face transformers.
const golden = (path: string) => fileURLToPath(new URL(`../golden/${path}`, import.meta.url));

const families = [
  "llama",
  "llama-sharded",
  "llama-llama3-rope",
  "llama-linear-rope",
  "llama-tied",
  "llama-bias",
  "qwen2",
  "mistral",
  "mistral-window",
  "mixtral",
  "deepseek-v3",
  "deepseek-v3-q-lora",
  "deepseek-v3-bias",
  "deepseek-v3-half-split",
  "deepseek-v3-yarn",
  "deepseek-v2",
  "deepseek-v3-experts",
  "deepseek-v2-experts",
  "qwen3",
  "qwen3-window",
  "smollm3",
  "smollm3-listed",
  "mimo",
  "gemma2",
];

const devices: readonly { name: string; make: () => Promise<Device>; tolerance: number }[] = [
  { name: "reference", make: async () => referenceDevice(), tolerance: 1e-4 },
  { name: "cpu", make: () => cpuDevice(), tolerance: 1e-3 },
];

describe.each(devices)("golden logits on the $name device", ({ make, tolerance }) => {
  it.each(families)("%s", async (family) => {
    const files = await openModel(folder(golden(family)));
    await expectGoldenLogits(files, family, await make(), tolerance);
  });

  // The same weights as llama.cpp stores them, made by tools/golden/gguf_models.py.
  it.each(["llama", "qwen2", "qwen3"])("%s from GGUF", async (family) => {
    const files = await openModel(await fileSource(golden(`${family}/model.gguf`)));
    await expectGoldenLogits(files, family, await make(), tolerance);
  });
});

async function expectGoldenLogits(
  files: ModelFiles,
  family: string,
  device: Device,
  tolerance: number,
): Promise<void> {
  const model = await loadModel(files, device);
  const values = await openSafetensors(await fileSource(golden(`${family}/golden.safetensors`)));
  for (const prefix of ["", "long."]) {
    const ids = Int32Array.from(await values.read(`${prefix}input_ids`, { as: "f32" }));
    const expected = await values.read(`${prefix}logits`, { as: "f32" });
    const cache = model.createCache({ capacity: ids.length });
    const logits = model.forward(cache, [{ sequence: cache.open(), tokens: ids }], "all");
    expect(relativeError(await device.read(logits), expected)).toBeLessThan(tolerance);
    cache.destroy();
  }
  await values.close();
  await files.close();
  device.destroy();
}

/** Largest difference over the largest magnitude. */
function relativeError(actual: Float32Array, expected: Float32Array): number {
  expect(actual.length).toBe(expected.length);
  let difference = 0;
  let magnitude = 0;
  for (const [i, value] of expected.entries()) {
    difference = Math.max(difference, Math.abs(actual[i] - value));
    magnitude = Math.max(magnitude, Math.abs(value));
  }
  return difference / magnitude;
}
