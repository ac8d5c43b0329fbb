import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { relaxedFlags } from "../engine.mjs";

for (const flag of relaxedFlags) setFlagsFromString(flag);
const { convert, planConversion } = await import("@transmla/conversion");
const { loadTokenizer } = await import("@transmla/generation");
const { cpuDevice } = await import("@transmla/kernels");
const { openModel } = await import("@transmla/models");
const { calibrationTextUrl, evaluationTextUrl, modelFolderPath } =
  await import("@transmla/sample-model");
const { folder, memoryFolder } = await import("@transmla/tensor-io");
const { packBatch, textDocuments } = await import("@transmla/training");

/** The sample model, its tokenizer and its texts, on a device of two threads. */
export async function openSample() {
  const device = await cpuDevice({ threads: 2 });
  const files = await openModel(folder(modelFolderPath()));
  const tokenizer = await loadTokenizer(files.origin);
  const tokens = async (url) => tokenizer.encode(await readFile(url, "utf8"));
  return {
    device,
    files,
    tokenizer,
    calibration: await tokens(calibrationTextUrl()),
    evaluation: await tokens(evaluationTextUrl()),
  };
}

/** A conversion of the sample model, in memory. */
export async function converted({ files, device, calibration }, options, seed = 0) {
  const plan = planConversion(files, { method: "output-aware", ...options, dtype: "f32" });
  const [samples, length] = [64, 256];
  const starts = Array.from({ length: samples }, (_, i) =>
    Math.floor(((calibration.length - length) * ((i + 0.37 * seed) % samples)) / samples),
  );
  const sequences = starts.map((start) => calibration.slice(start, start + length));
  const output = memoryFolder();
  const needed = options.method === "exact" ? [] : sequences;
  await convert(plan, { device, calibration: needed, output });
  return openModel(output);
}

/** Windows of a held-out text, one to a batch. */
export async function heldOut(tokens, context = 256) {
  const source = textDocuments(tokens, context);
  const batches = [];
  for (let i = 0; i < source.count; i++) batches.push(packBatch([await source.read(i)]));
  return batches;
}

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Mean and range: `0.123 (0.101 – 0.140)`. */
export const spread = (values, digits = 4) =>
  `${mean(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)} – ${Math.max(...values).toFixed(digits)})`;
