import { readFileSync } from "node:fs";
import { convert, planConversion } from "@transmla/conversion";
import { perplexity } from "@transmla/evaluation";
import { loadTokenizer } from "@transmla/generation";
import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { evaluationTextUrl, modelFolderPath } from "@transmla/sample-model";
import { folder, memoryFolder } from "@transmla/tensor-io";
import { expect, it } from "vitest";

/** Latents bear bytes; `bench/src/serve/int8.mjs` measures the same on SmolLM2. */
it("latents in bytes cost the sample model less than half a per cent of its perplexity", async () => {
  const device = await cpuDevice();
  const files = await openModel(folder(modelFolderPath()));
  const tokenizer = await loadTokenizer(files.origin);
  const text = tokenizer.encode(readFileSync(evaluationTextUrl(), "utf8").slice(0, 24_000));
  const output = memoryFolder();
  const calibration = Array.from({ length: 16 }, (_, i) => text.slice(128 * i, 128 * (i + 1)));
  const plan = planConversion(files, { method: "transmla", keep: 0.5, freqFold: 1 });
  await convert(plan, { device, calibration, output });
  const model = await loadModel(await openModel(output), device);
  const measured = text.subarray(2048, 2048 + 3072);
  const bytes = { latents: "i8", "rope-keys": "bf16" } as const;
  const full = await perplexity(model, measured, { cacheStorage: "f32" });
  const small = await perplexity(model, measured, { cacheStorage: bytes });
  expect(small.perplexity).not.toBe(full.perplexity);
  expect(Math.abs(small.perplexity / full.perplexity - 1)).toBeLessThan(0.005);

  const bytesOf = (storage: "f32" | typeof bytes) => {
    const cache = model.createCache({ capacity: 1, storage });
    cache.destroy();
    return cache.bytesPerToken;
  };
  expect(bytesOf(bytes) / bytesOf("f32")).toBeLessThan(0.33);
  await files.close();
  device.destroy();
});
