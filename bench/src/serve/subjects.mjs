import { fileURLToPath } from "node:url";
import { cpuDevice } from "@transmla/kernels";
import { convert, planConversion } from "@transmla/conversion";
import { openModel } from "@transmla/models";
import { folder } from "@transmla/tensor-io";
import { cached } from "../cache.mjs";
import {
  convertedModel,
  ggufModel,
  realModel,
  safetensorsModel,
  shapeFor,
} from "../model/models.mjs";
import { relaxedFlags } from "../engine.mjs";
import { randomTokens } from "../random.mjs";

const sample = fileURLToPath(new URL("../../../packages/sample-model/model", import.meta.url));

/** Tokens that the caches of all contenders hold: 64 streams of prompt and text. */
const CAPACITY = 64 * 256;

/** The sample model with a quarter of its cache. Calibration is short, for speed does not depend on how well it fits. */
function convertedSample() {
  return cached("sample-keep-0.25", async (output) => {
    const files = await openModel(folder(sample));
    const device = await cpuDevice();
    const plan = planConversion(files, { method: "transmla", keep: 0.25, dtype: "bf16" });
    const { vocabSize } = files.config;
    const calibration = Array.from({ length: 4 }, (_, i) => randomTokens(128, i, vocabSize));
    await convert(plan, { device, calibration, output: folder(output) });
    device.destroy();
    await files.close();
  });
}

/** What is served: our engine on models, and llama.cpp. GQA and MLA of a model are compared by the sequences they hold. */
export async function subjects({ quick, threads, only, streams, length }) {
  const ours = (path, options = {}) => ({
    module: "ours-serve",
    options: { path, threads, capacity: CAPACITY, ...options },
    flags: relaxedFlags,
  });
  const http = (path, vocabulary, weights) => ({
    module: "http-serve",
    options: { path, threads, vocabulary, weights, flags: relaxedFlags },
  });
  const llama = async (type) => ({
    module: "llama-serve",
    options: {
      path: await ggufModel(quick, type),
      threads,
      vocabulary: shapeFor(quick).vocabulary,
      streams: Math.max(...streams),
      length,
    },
  });
  const all = {
    "sample, GQA": async () => ours(sample),
    "sample, MLA 25 %": async () => ours(await convertedSample()),
    "SmolLM2, GQA, bf16": async () => ours(await safetensorsModel(quick)),
    "SmolLM2, MLA 25 %, bf16": async () => ours(await convertedModel(quick, 0.25)),
    "SmolLM2, GQA, int8": async () => ours(await safetensorsModel(quick), { weights: "i8" }),
    "SmolLM2, MLA 25 %, int8": async () =>
      ours(await convertedModel(quick, 0.25), { weights: "i8" }),
    "sample, GQA, over HTTP": async () => http(sample, 1024),
    // It needs a tokenizer, which models of random weights have none of.
    "SmolLM2, GQA, Q4_1, over HTTP": async () => {
      const path = realModel();
      return path
        ? http(path, shapeFor(false).vocabulary)
        : { missing: "set TRANSMLA_SMOLLM2 to SmolLM2-135M as GGUF" };
    },
    "llama.cpp, SmolLM2, GQA, F16": () => llama("F16"),
    "llama.cpp, SmolLM2, GQA, Q8_0": () => llama("Q8_0"),
  };
  const words = only.split(",").map((word) => word.trim());
  return Object.entries(all).filter(([name]) => words.some((word) => name.includes(word)));
}
