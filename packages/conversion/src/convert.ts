import type { Device } from "@transmla/kernels";
import { LowRankError } from "@transmla/low-rank";
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
  writeFile,
  type Checkpoint,
  type WritableFolder,
} from "@transmla/tensor-io";
import { ConversionError } from "./errors";
import { formats } from "./formats";
import type { MeasuredInput, OutputFormat } from "./formats/format";
import type { EncodedTensor } from "./memory-checkpoint";
import { methods } from "./methods";
import type { ConversionJob, ConvertedLayer, LayerConverter } from "./methods/method";
import { withAttention, withChosenSizes, type ConversionPlan, type PlannedTensor } from "./plan";
import type { LatentSizes } from "./options";
import type { ConversionProgress } from "./progress";
import { conversionFingerprint } from "./resume/fingerprint";
import { removeLeftoverLayers, LayerStore, savedLayers } from "./resume/layer-store";
import {
  inSinglePrecision,
  latentTensors,
  requireFinite,
  type LatentWeights,
  type NamedTensor,
  type WrittenWeights,
} from "./weights";

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
  /**
   * Keeps finished layers beside the output (four bytes per number of the attention) until the conversion is done, so that it can go on
   * if it is interrupted. Default false.
   */
  readonly resumable?: boolean | undefined;
  /**
   * Goes on with the layers of an interrupted conversion, if there are any. The result is the same to the byte. Implies `resumable`.
   * Beside a complete model there is nothing to go on with (`OutputExists`), but layers left there are removed.
   */
  readonly resume?: boolean | undefined;
}

/** What a conversion did. */
export interface ConversionReport {
  readonly method: string;
  readonly format: string;
  /** As written, the format's own channels included; where layers differ, of one of mean size. */
  readonly kvLoraRank: number;
  readonly ropeDim: number;
  /** Absent where the method does not fold. */
  readonly freqFold?: number | undefined;
  /** How many of the original's frequencies the rotated ones go on at a time; absent where they need not be a ladder. */
  readonly ladderStep?: number | undefined;
  /** Cached numbers per token, all layers. */
  readonly cacheBefore: number;
  readonly cacheAfter: number;
  readonly keptFraction: number;
  readonly calibrationTokens: number;
  /** Bytes of the weights written. */
  readonly outputBytes: number;
  readonly seconds: number;
  readonly layers: readonly LayerReport[];
  /** What makes the result doubtful, in words. */
  readonly warnings: readonly string[];
}

/** See `ConvertedLayer`. */
export interface LayerReport {
  readonly layer: number;
  /** As written. */
  readonly kvLoraRank: number;
  readonly ropeDim: number;
  readonly keptEnergy: number;
  readonly outputError: number;
}

/** Bytes copied at once. */
const PIECE_BYTES = 8 << 20;

/**
 * Executes a plan: copies what stays, converts the attention layer by layer and writes the result as it is made. The
 * config is written last, so an interrupted conversion leaves no folder that loads.
 *
 * @throws ConversionError `CalibrationTooShort`, `NonFiniteWeight`, `OutputExists`, `ResumeMismatch`; TensorIoError; the signal's reason
 */
export async function convert(
  planned: ConversionPlan,
  options: ConvertOptions,
): Promise<ConversionReport> {
  try {
    return await execute(planned, options);
  } catch (error) {
    // A weight that is no number spoils all that is measured with it: the weight is what has to be named.
    if (LowRankError.isInstance(error)) await requireFiniteWeights(planned);
    throw error;
  }
}

async function execute(
  planned: ConversionPlan,
  options: ConvertOptions,
): Promise<ConversionReport> {
  const started = performance.now();
  const calibration = options.calibration ?? [];
  checkCalibration(planned, calibration);
  const { output, resume = false, resumable = resume } = options;
  if (resume) await removeLeftoverLayers(output);
  await checkOutput(output, resume);
  const store = resumable ? await openStore(planned, calibration, options) : undefined;
  const choices = resume ? (await store?.load(0))?.choices : undefined;
  const plan = await settled(planned, jobOf(planned, options), choices);
  // Shards of the interrupted attempt are written again: that takes no more than copying them.
  const writer = await ShardedWriter.create(output, plan.shards, { overwrite: resume });
  const report = options.onProgress ?? (() => {});
  try {
    const converter = await methods[plan.method].start(jobOf(plan, options, choices));
    const source = { converter, store, resume };
    const { configs, layers } = await writeTensors(plan, source, writer, report, options.signal);
    await writer.finish();
    for (const [name, bytes] of options.extraFiles ?? []) await writeFile(output, name, bytes);
    const config = withAttention(plan.files.config, (layer) => configs[layer]);
    await writeFile(output, "config.json", configBytes(plan, config));
    await store?.clear();
    const { freqFold, warnings = [] } = converter;
    const { ladderStep } = plan.sizes;
    return {
      method: plan.method,
      format: plan.format,
      kvLoraRank: plan.sizes.kvLoraRank,
      ropeDim: plan.sizes.ropeDim,
      ...(freqFold === undefined ? {} : { freqFold }),
      ...(ladderStep === undefined ? {} : { ladderStep }),
      cacheBefore: plan.cacheBefore,
      cacheAfter: plan.cacheAfter,
      keptFraction: plan.cacheAfter / plan.cacheBefore,
      calibrationTokens: calibration.reduce((sum, { length }) => sum + length, 0),
      outputBytes: plan.shards.totalBytes,
      seconds: (performance.now() - started) / 1000,
      layers,
      warnings,
    };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

function jobOf(
  plan: ConversionPlan,
  options: ConvertOptions,
  choices?: Partial<LatentSizes>,
): ConversionJob {
  return {
    files: plan.files,
    device: options.device,
    sizes: { ...plan.methodSizes, ...choices },
    calibration: options.calibration ?? [],
    written: (layer, weights, measured) => layerAsWritten(plan, layer, weights, measured),
    encode: (layer, weights) =>
      encoded(plan, layer, latentTensors(weights, attentionPrefix(layer))),
    onProgress: options.onProgress ?? (() => {}),
    signal: options.signal,
  };
}

/** The plan once the sizes are known that depend on the calibration text: as an interrupted attempt chose, or chosen now. */
async function settled(
  plan: ConversionPlan,
  job: ConversionJob,
  choices: Partial<LatentSizes> | undefined,
): Promise<ConversionPlan> {
  const { chooseSizes } = methods[plan.method];
  if (!chooseSizes) return plan;
  const { ropeDim, ladderStep, layers } = choices ?? {};
  return withChosenSizes(
    plan,
    ropeDim === undefined ? await chooseSizes(job) : { ropeDim, ladderStep, layers },
  );
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

async function checkOutput(output: WritableFolder, resume: boolean): Promise<void> {
  if (await output.has("config.json")) {
    throw new ConversionError(
      "OutputExists",
      `${output.name} already holds a complete model (config.json). Choose an empty folder.`,
      { folder: output.name },
    );
  }
  if (resume || (await savedLayers(output)).length === 0) return;
  throw new ConversionError(
    "OutputExists",
    `${output.name} holds an unfinished conversion. Resume it, or remove the folder.`,
    { folder: output.name },
  );
}

async function openStore(
  plan: ConversionPlan,
  calibration: readonly Int32Array[],
  { output, device }: ConvertOptions,
): Promise<LayerStore> {
  return new LayerStore(output, await conversionFingerprint(plan, calibration, device));
}

/** Where converted layers come from: an earlier attempt, as far as it came, then the method. */
interface LayerSource {
  readonly converter: LayerConverter;
  readonly store: LayerStore | undefined;
  readonly resume: boolean;
}

async function nextLayer(
  { converter, store }: LayerSource,
  layer: number,
  resuming: boolean,
): Promise<{ converted: ConvertedLayer; resumed: boolean }> {
  const saved = resuming ? await store?.load(layer) : undefined;
  if (saved) {
    await converter.resume?.(layer, saved.converted);
    return { converted: saved.converted, resumed: true };
  }
  const converted = await converter.convert(layer);
  await store?.save(layer, { converted, choices: converter.choices ?? {} });
  return { converted, resumed: false };
}

/** Writes all tensors in the order of the model. */
async function writeTensors(
  plan: ConversionPlan,
  source: LayerSource,
  writer: ShardedWriter,
  report: (progress: ConversionProgress) => void,
  signal: AbortSignal | undefined,
): Promise<{ configs: LatentAttentionConfig[]; layers: LayerReport[] }> {
  const configs: LatentAttentionConfig[] = [];
  const layers: LayerReport[] = [];
  const total = plan.config.layers.length;
  let resuming = source.resume;
  for (const tensor of plan.tensors) {
    signal?.throwIfAborted();
    if (tensor.convertedLayer === undefined) {
      await copyTensor(plan, tensor, writer, signal);
    } else if (tensor.convertedLayer === layers.length) {
      // The first of a layer's new tensors: all of them are made, and written, together.
      const { converted, resumed } = await nextLayer(source, layers.length, resuming);
      resuming &&= resumed;
      const { weights, keptEnergy, outputError } = converted;
      const { layerTensors }: OutputFormat = formats[plan.format];
      const tensors = layerTensors(weights, attentionPrefix(layers.length));
      for (const { name, bytes } of encoded(plan, layers.length, tensors)) {
        await writer.write(name, bytes);
      }
      configs.push(weights.config);
      const { attention } = plan.config.layers[layers.length];
      const { kvLoraRank, ropeDim } = attention as LatentAttentionConfig;
      layers.push({ layer: layers.length, kvLoraRank, ropeDim, keptEnergy, outputError });
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
  for await (const { bytes, values, source } of finitePieces(files.checkpoint, name, signal)) {
    const same = source.dtype === dtype;
    await writer.write(name, same ? bytes : encodeFromF32(values, dtype, { tensor: name }));
  }
}

/** Throws `NonFiniteWeight` for the first tensor of the model that holds NaN or infinity. */
async function requireFiniteWeights({ files: { checkpoint } }: ConversionPlan): Promise<void> {
  for (const name of checkpoint.tensors.keys()) {
    for await (const _ of finitePieces(checkpoint, name));
  }
}

/** A tensor, a piece of rows after the other. Throws `NonFiniteWeight`. */
async function* finitePieces(checkpoint: Checkpoint, name: string, signal?: AbortSignal) {
  const source = checkpoint.tensors.get(name)!;
  const rows = source.shape[0];
  const step = Math.max(1, Math.floor(PIECE_BYTES / (source.byteLength / rows)));
  for (let first = 0; first < rows; first += step) {
    const slice = { rows: [first, Math.min(rows, first + step)] as const, signal };
    const bytes = await checkpoint.readBytes(name, slice);
    const values = decodeToF32(bytes, source.dtype);
    requireFinite(values, source, first * (source.shape[1] ?? 1));
    yield { bytes, values, source };
  }
}

/** A layer's attention as the output format has it. */
async function layerAsWritten(
  { format, files }: ConversionPlan,
  layer: number,
  weights: LatentWeights,
  measured: MeasuredInput | undefined,
): Promise<WrittenWeights> {
  const norm = `${layerPrefix(layer)}input_layernorm.weight`;
  const gains = await files.checkpoint.read(norm, { as: "f32" });
  return inSinglePrecision(await formats[format].layerWeights(weights, { gains, measured }));
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
    bytes: encodeFromF32(values, dtype, { tensor: name }),
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
