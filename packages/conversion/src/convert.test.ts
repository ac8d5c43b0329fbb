import { fileURLToPath } from "node:url";
import { referenceDevice } from "@transmla/kernels";
import { loadModel, openModel, type ModelFiles } from "@transmla/models";
import { folder, memoryFolder } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { convert } from "./convert";
import type { ConversionOptions } from "./options";
import { planConversion } from "./plan";

const golden = (family: string) =>
  folder(fileURLToPath(new URL(`../../models/golden/${family}`, import.meta.url)));

/** Token ids without structure: enough to exercise every weight. */
function tokens(count: number, vocabSize: number, seed: number): Int32Array {
  let state = seed;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % vocabSize;
  });
}

async function logitsOf(files: ModelFiles, ids: Int32Array): Promise<Float32Array> {
  const device = referenceDevice();
  const model = await loadModel(files, device);
  const cache = model.createCache({ capacity: ids.length });
  const logits = model.forward(cache, [{ sequence: cache.open(), tokens: ids }], "all");
  const values = await device.read(logits);
  device.destroy();
  return values;
}

async function converted(family: string, options: ConversionOptions) {
  const files = await openModel(golden(family));
  const output = memoryFolder(new Map(), "output");
  const calibration = [1, 2, 3, 4].map((seed) => tokens(32, files.config.vocabSize, seed));
  const plan = planConversion(files, options);
  const report = await convert(plan, { device: referenceDevice(), calibration, output });
  return { files, plan, report, latent: await openModel(output), output };
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i])), 0);
}

describe("exact method", () => {
  it.each([
    "llama",
    "llama-llama3-rope",
    "llama-tied",
    "llama-bias",
    "qwen2",
    "mistral-window",
    "mixtral",
  ])("keeps logits and cache size of %s", async (family) => {
    const { files, latent, report } = await converted(family, { method: "exact" });
    const ids = tokens(70, files.config.vocabSize, 9);
    const before = await logitsOf(files, ids);
    expect(latent.config.layers.every(({ attention }) => attention.kind === "mla")).toBe(true);
    expect(report.cacheAfter).toBe(report.cacheBefore);
    expect(largestDifference(await logitsOf(latent, ids), before)).toBeLessThan(2e-5);
  });
});

describe("transmla method", () => {
  it("changes nothing while every rotation is exact and nothing is compressed", async () => {
    // F = C = 1 with one kept pair per frequency loses only components beyond the first of each frequency.
    const { files, latent } = await converted("llama", {
      method: "transmla",
      kvLoraRank: 24,
      ropeDim: 8,
      freqFold: 1,
    });
    const ids = tokens(70, files.config.vocabSize, 9);
    const a = await logitsOf(files, ids);
    const b = await logitsOf(latent, ids);
    console.log(largestDifference(a, b));
  });
  it.each(["llama", "llama-bias", "qwen2", "mixtral"])("auto %s", async (family) => {
    const { files, latent, report } = await converted(family, { method: "transmla", keep: 0.5 });
    const ids = tokens(70, files.config.vocabSize, 9);
    console.log(
      JSON.stringify(report),
      largestDifference(await logitsOf(files, ids), await logitsOf(latent, ids)),
    );
  });
});
