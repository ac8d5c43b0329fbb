import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { referenceDevice } from "@transmla/kernels";
import { columnSlice, multiply, multiplyTransposedLeft, rowSlice } from "@transmla/low-rank";
import {
  loadDecoderLayer,
  loadModel,
  openModel,
  WeightLoader,
  type GroupedAttentionConfig,
  type ModelFiles,
} from "@transmla/models";
import { fileSource, folder, memoryFolder, openSafetensors } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { CalibrationRunner } from "../calibration-stream";
import { convert } from "../convert";
import { planConversion } from "../plan";
import { readGroupedWeights } from "../weights";
import { jointCompression } from "./joint-compression";
import { embedCalibration } from "./stream-ends";
import { transmlaRotation } from "./transmla";

// What the reference implementation of the paper computes; see the README in the folder.
const at = (name: string) =>
  fileURLToPath(new URL(`../../golden/transmla-reference/${name}`, import.meta.url));

interface Setting {
  readonly name: string;
  readonly kv_lora_rank: number;
  readonly qk_mqa_dim: number;
  readonly freqfold: number;
  readonly q_lora_rank: number | null;
  readonly original_perplexity: number;
  readonly balance_ratios: readonly number[];
  readonly final_perplexity: number;
}

const { settings } = JSON.parse(readFileSync(at("reference.json"), "utf8")) as {
  settings: Setting[];
};

async function windows(name: string): Promise<Int32Array[]> {
  const tokens = await openSafetensors(await fileSource(at("tokens.safetensors")));
  const ids = Int32Array.from(await tokens.read(name, { as: "f32" }));
  await tokens.close();
  return Array.from({ length: 16 }, (_, window) => ids.subarray(window * 128, (window + 1) * 128));
}

/** Exponential of the mean negative log-likelihood of every token after a window's first. */
async function perplexity(files: ModelFiles): Promise<number> {
  const device = referenceDevice();
  const model = await loadModel(files, device);
  const { vocabSize } = files.config;
  let total = 0;
  let count = 0;
  for (const tokens of await windows("evaluation_ids")) {
    const cache = model.createCache({ capacity: tokens.length });
    const logits = model.forward(cache, [{ sequence: cache.open(), tokens }], "all");
    const values = await device.read(logits);
    for (let t = 0; t + 1 < tokens.length; t++) {
      const row = values.subarray(t * vocabSize, (t + 1) * vocabSize);
      total += Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[tokens[t + 1]];
      count++;
    }
    device.release(logits);
    cache.destroy();
  }
  device.destroy();
  return Math.exp(total / count);
}

async function converted(setting: Setting): Promise<ModelFiles> {
  const files = await openModel(folder(at("")));
  const plan = planConversion(files, {
    method: "transmla",
    kvLoraRank: setting.kv_lora_rank,
    ropeDim: setting.qk_mqa_dim,
    freqFold: setting.freqfold,
    qLoraRank: setting.q_lora_rank ?? undefined,
    dtype: "f32",
  });
  const output = memoryFolder();
  await convert(plan, {
    device: referenceDevice(),
    calibration: await windows("calibration_ids"),
    output,
  });
  await files.close();
  return openModel(output);
}

describe("transmla against the reference implementation", () => {
  it("measures the original alike", async () => {
    const files = await openModel(folder(at("")));
    expect((await perplexity(files)) / settings[0].original_perplexity).toBeCloseTo(1, 5);
    await files.close();
  });

  it.each(settings)("$name: perplexity and subspaces", async (setting) => {
    const files = await converted(setting);
    const ratio = (await perplexity(files)) / setting.final_perplexity;
    expect(ratio).toBeLessThan(1.01);
    // The reference calibrates every layer's compression on a model whose earlier layers are not compressed. Ours sees
    // what they lost, which gains 1.6 % at the smallest rank; on the reference's stream it gives 20.0988 for 20.0988.
    expect(ratio).toBeGreaterThan(setting.kv_lora_rank === 12 ? 0.98 : 0.99);

    const golden = await openSafetensors(await fileSource(at("reference.safetensors")));
    const { checkpoint } = files;
    const read = (name: string) =>
      checkpoint.read(`model.layers.0.self_attn.${name}.weight`, { as: "f32" });
    const key = (name: string) => `${setting.name}.${name}.0`;
    if (golden.tensors.has(key("rope_key_rows"))) {
      const expected = await golden.read(key("rope_key_rows"), { as: "f32" });
      expect(pairDistance(await read("k_rope_proj"), expected, setting.qk_mqa_dim)).toBeLessThan(
        1e-5,
      );
    }
    // Where variance-free directions are among the kept ones (r > 64), the subspace is not determined.
    if (golden.tensors.has(key("latent_gram")) && setting.kv_lora_rank < 64) {
      const expected = await golden.read(key("latent_gram"), { as: "f32" });
      expect(distance(await firstLatentGram(setting), expected)).toBeLessThan(1e-5);
    }
    await golden.close();
  });
});

/** `W^T W` of layer 0's latent rows, with the balance ratio the reference uses (it skips some columns of the values). */
async function firstLatentGram(setting: Setting): Promise<Float32Array> {
  const device = referenceDevice();
  const files = await openModel(folder(at("")));
  const original = files.config.layers[0].attention as GroupedAttentionConfig;
  const loader = new WeightLoader(device, files.checkpoint);
  const decoder = await loadDecoderLayer(loader, files.config, 0);
  const runner = new CalibrationRunner(device, files.config);
  const stream = await embedCalibration({ files }, runner, await windows("calibration_ids"));
  const { key: moment } = await runner.moments(stream, decoder);
  const weights = await readGroupedWeights(files.checkpoint, original, 0);
  const sizes = { ropeDim: setting.qk_mqa_dim, freqFold: setting.freqfold };
  const { rotation } = transmlaRotation(weights, original, moment, sizes);
  const nopeKeys = rowSlice(multiply(rotation, weights.key), setting.qk_mqa_dim);
  const [ratio] = setting.balance_ratios;
  const { down } = jointCompression(nopeKeys, weights.value, moment, setting.kv_lora_rank, ratio);
  const latent = columnSlice(down, 0, down.columns - 1);
  await files.close();
  return Float32Array.from(multiplyTransposedLeft(latent, latent).data);
}

/** `|a - b| / |b|` */
function distance(a: Float32Array, b: Float32Array): number {
  const difference = a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0);
  return Math.sqrt(difference / b.reduce((sum, value) => sum + value ** 2, 0));
}

/** Distance of half-split rows from interleaved ones, when every pair may have its own sign. */
function pairDistance(halfSplit: Float32Array, interleaved: Float32Array, ropeDim: number): number {
  const columns = halfSplit.length / ropeDim;
  const row = (values: Float32Array, index: number) =>
    values.subarray(index * columns, (index + 1) * columns);
  const distances = Array.from({ length: ropeDim / 2 }, (_, pair) => {
    const ours = Float32Array.of(...row(halfSplit, pair), ...row(halfSplit, pair + ropeDim / 2));
    const theirs = Float32Array.of(
      ...row(interleaved, 2 * pair),
      ...row(interleaved, 2 * pair + 1),
    );
    return Math.min(
      distance(ours, theirs),
      distance(
        ours.map((value) => -value),
        theirs,
      ),
    );
  });
  return Math.max(...distances);
}
