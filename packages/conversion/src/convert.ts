import type { Device } from "@transmla/kernels";
import {
  attentionPrefix,
  layerPrefix,
  type LatentAttentionConfig,
  type ModelConfig,
} from "@transmla/models";
import {
  decodeToF32,
  encodeFromF32,
  formatJson,
  ShardedWriter,
  type WritableFolder,
} from "@transmla/tensor-io";
import { ConversionError } from "./errors";
import { formats } from "./formats";
import type { EncodedTensor } from "./memory-checkpoint";
import { methods } from "./methods";
import type { LayerConverter } from "./methods/method";
import { withAttention, type ConversionPlan, type PlannedTensor } from "./plan";
import type { ConversionProgress } from "./progress";
import { latentTensors, requireFinite, type LatentWeights, type NamedTensor } from "./weights";

export interface ConvertOptions {
  readonly device: Device;
  /** Calibration sequences of token ids; needed by methods that measure the model. */
  readonly calibration?: readonly Int32Array[] | undefined;
  /** Must not hold a model yet. */
  readonly output: WritableFolder;
  /** Files that go beside the weights: tokenizer, templates. */
  readonly extraFiles?: ReadonlyMap<string, Uint8Array> | undefined;
  readonly onProgress?: ((progress: ConversionProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a conversion did. */
export interface ConversionReport {
  readonly method: string;
  readonly format: string;
  /** As written, the format's own channels included. */
  readonly kvLoraRank: number;
  readonly ropeDim: number;
  /** Absent where the method does not fold. */
  readonly freqFold?: number | undefined;
  /** Cached numbers per token, all layers. */
  readonly cacheBefore: number;
  readonly cacheAfter: number;
  readonly keptFraction: number;
  readonly calibrationTokens: number;
  readonly seconds: number;
  readonly layers: readonly LayerReport[];
  /** What makes the result doubtful, in words. */
  readonly warnings: readonly string[];
}

/** See `ConvertedLayer`. */
export interface LayerReport {
  readonly layer: number;
  readonly keptEnergy: number;
  readonly outputError: number;
}

/** Bytes copied at once. */
const PIECE_BYTES = 8 << 20;

/**
 * Executes a plan: copies what stays, converts the attention layer by layer and writes the result as it is made. The
 * config is written last, so an interrupted conversion leaves no folder that loads.
 *
 * @throws ConversionError `CalibrationTooShort`, `NonFiniteWeight`, `OutputExists`; TensorIoError; the signal's reason
 */
export async function convert(
  plan: ConversionPlan,
  options: ConvertOptions,
): Promise<ConversionReport> {
  const started = performance.now();
  const calibration = options.calibration ?? [];
  checkCalibration(plan, calibration);
  await checkOutput(options.output);
  const writer = await ShardedWriter.create(options.output, plan.shards);
  const report = options.onProgress ?? (() => {});
  try {
    const converter = await methods[plan.method].start({
      files: plan.files,
      device: options.device,
      sizes: plan.methodSizes,
      calibration,
      encode: (layer, weights) =>
        encoded(plan, layer, latentTensors(weights, attentionPrefix(layer))),
      onProgress: report,
      signal: options.signal,
    });
    const { configs, layers } = await writeTensors(plan, converter, writer, report, options.signal);
    await writer.finish();
    for (const [name, bytes] of options.extraFiles ?? [])
      await writeFile(options.output, name, bytes);
    const config = withAttention(plan.files.config, (layer) => configs[layer]);
    await writeFile(options.output, "config.json", configBytes(plan, config));
    const { freqFold, warnings = [] } = converter;
    return {
      method: plan.method,
      format: plan.format,
      kvLoraRank: plan.sizes.kvLoraRank,
      ropeDim: plan.sizes.ropeDim,
      ...(freqFold === undefined ? {} : { freqFold }),
      cacheBefore: plan.cacheBefore,
      cacheAfter: plan.cacheAfter,
      keptFraction: plan.cacheAfter / plan.cacheBefore,
      calibrationTokens: calibration.reduce((sum, { length }) => sum + length, 0),
      seconds: (performance.now() - started) / 1000,
      layers,
      warnings,
    };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

function checkCalibration(plan: ConversionPlan, calibration: readonly Int32Array[]): void {
  if (!methods[plan.method].needsCalibration) return;
  const tokens = calibration.reduce((sum, { length }) => sum + length, 0);
  // Two sequences: one to measure with and one to judge with.
  if (calibration.length >= 2 && calibration.every(({ length }) => length >= 2)) return;
  throw new ConversionError(
    "CalibrationTooShort",
    `Method ${plan.method} needs at least two calibration sequences of two tokens, got ${calibration.length} with ${tokens} tokens.`,
    { sequences: calibration.length, tokens },
  );
}

async function checkOutput(output: WritableFolder): Promise<void> {
  if (!(await output.has("config.json"))) return;
  throw new ConversionError(
    "OutputExists",
    `${output.name} already holds a model (config.json). Choose an empty folder.`,
    { folder: output.name },
  );
}

/** Writes all tensors in the order of the model. */
async function writeTensors(
  plan: ConversionPlan,
  converter: LayerConverter,
  writer: ShardedWriter,
  report: (progress: ConversionProgress) => void,
  signal: AbortSignal | undefined,
): Promise<{ configs: LatentAttentionConfig[]; layers: LayerReport[] }> {
  const configs: LatentAttentionConfig[] = [];
  const layers: LayerReport[] = [];
  const total = plan.config.layers.length;
  for (const tensor of plan.tensors) {
    signal?.throwIfAborted();
    if (tensor.convertedLayer === undefined) {
      await copyTensor(plan, tensor, writer, signal);
    } else if (tensor.convertedLayer === layers.length) {
      // The first of a layer's new tensors: all of them are made, and written, together.
      const { weights, keptEnergy, outputError } = await converter.convert(layers.length);
      for (const { name, bytes } of await layerAsWritten(plan, layers.length, weights)) {
        await writer.write(name, bytes);
      }
      configs.push(weights.config);
      layers.push({ layer: layers.length, keptEnergy, outputError });
      report({ phase: "converting", done: layers.length, total, unit: "layers" });
    }
  }
  return { configs, layers };
}

async function copyTensor(
  { files }: ConversionPlan,
  { name, dtype }: PlannedTensor,
  writer: ShardedWriter,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { checkpoint } = files;
  const source = checkpoint.tensors.get(name)!;
  const rows = source.shape[0];
  const step = Math.max(1, Math.floor(PIECE_BYTES / (source.byteLength / rows)));
  for (let first = 0; first < rows; first += step) {
    const slice = { rows: [first, Math.min(rows, first + step)] as const, signal };
    const bytes = await checkpoint.readBytes(name, slice);
    const values = decodeToF32(bytes, source.dtype);
    requireFinite(values, source, first * (source.shape[1] ?? 1));
    const same = source.dtype === dtype;
    await writer.write(name, same ? bytes : encodeFromF32(values, dtype, { tensor: name }));
  }
}

/** A layer's attention in the bytes and the layout of the output. */
async function layerAsWritten(
  plan: ConversionPlan,
  layer: number,
  weights: LatentWeights,
): Promise<EncodedTensor[]> {
  const norm = `${layerPrefix(layer)}input_layernorm.weight`;
  const gains = await plan.files.checkpoint.read(norm, { as: "f32" });
  const tensors = formats[plan.format].layerTensors(weights, gains, attentionPrefix(layer));
  return encoded(plan, layer, tensors);
}

function encoded(
  plan: ConversionPlan,
  layer: number,
  tensors: readonly NamedTensor[],
): EncodedTensor[] {
  const { dtype } = plan.tensors.find(({ convertedLayer }) => convertedLayer === layer)!;
  return tensors.map(({ name, shape, values }) => ({
    name,
    shape,
    dtype,
    bytes: encodeFromF32(Float32Array.from(values), dtype, { tensor: name }),
  }));
}

const torchNames: Readonly<Record<string, string>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

function configBytes(plan: ConversionPlan, config: ModelConfig): Uint8Array {
  const { dtype } = plan.tensors.find(({ convertedLayer }) => convertedLayer !== undefined)!;
  const torchDType = torchNames[dtype];
  const model = { original: plan.files.configJson, config };
  const json = formats[plan.format].config(model, { method: plan.method, torchDType });
  return new TextEncoder().encode(`${formatJson(json)}\n`);
}

async function writeFile(folder: WritableFolder, name: string, bytes: Uint8Array): Promise<void> {
  const sink = folder.create(name);
  try {
    await sink.write(0, bytes);
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}
