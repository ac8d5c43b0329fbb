import {
  kvCacheNumbersPerToken,
  type AttentionConfig,
  type GroupedAttentionConfig,
  type ModelConfig,
  type LatentAttentionConfig,
  type ModelFiles,
  type TensorSpec,
} from "@transmla/models";
import { planShards, type SafetensorsDType, type ShardedPlan } from "@transmla/tensor-io";
import { ConversionError } from "./errors";
import { formats, type FormatName } from "./formats";
import type { OutputFormat } from "./formats/format";
import { methods, type MethodName } from "./methods";
import { withHeadNorms } from "./methods/head-norms";
import {
  sizesOfLayer,
  type ChosenSizes,
  type ConversionOptions,
  type FormatNeeds,
  type LatentSizes,
  type OutputDType,
} from "./options";
import { invalid } from "./sizes";

/** A tensor of the output and where it comes from: copied, or made by the conversion. */
export interface PlannedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: SafetensorsDType;
  /** The layer whose attention makes it; absent for a copy. */
  readonly convertedLayer?: number | undefined;
}

/** Everything about a conversion that can be known from headers. Whatever can be refused is refused here. */
export interface ConversionPlan {
  readonly files: ModelFiles;
  readonly method: MethodName;
  /** What was asked for. */
  readonly options: ConversionOptions;
  readonly format: FormatName;
  /** Sizes of what is cached. */
  readonly sizes: LatentSizes;
  /** Sizes of what the method makes: without the channels that the format takes for itself. */
  readonly methodSizes: LatentSizes;
  /** The converted model's config; rotary frequencies may still be chosen by calibration. */
  readonly config: ModelConfig;
  readonly tensors: readonly PlannedTensor[];
  readonly shards: ShardedPlan;
  /** Cached numbers per token over all layers. */
  readonly cacheBefore: number;
  readonly cacheAfter: number;
}

/**
 * Plans a conversion without reading a weight.
 *
 * @throws ConversionError `AlreadyLatent`, `UnsupportedFormat`, `InvalidOption`
 */
export function planConversion(files: ModelFiles, options: ConversionOptions): ConversionPlan {
  const originals = files.config.layers.map(({ attention }) => convertible(attention));
  const method = methods[options.method];
  const { needs }: OutputFormat = formats[options.format ?? "native"];
  return planWith(files, options, method.sizes(originals[0], options, needs), originals);
}

/** The plan with sizes that were chosen on the calibration text; the cache is as large as before. */
export function withChosenSizes(
  plan: ConversionPlan,
  { ropeDim, ladderStep, layers }: ChosenSizes,
): ConversionPlan {
  const { files, options, sizes } = plan;
  const originals = files.config.layers.map(({ attention }) => convertible(attention));
  const kvLoraRank = sizes.kvLoraRank + sizes.ropeDim - ropeDim;
  const settled = {
    ...sizes,
    ropeDim,
    kvLoraRank,
    ladderStep,
    layers,
    ropeDimCandidates: undefined,
    ladderSteps: undefined,
    layersDiffer: undefined,
  };
  return planWith(files, options, settled, originals);
}

function planWith(
  files: ModelFiles,
  options: ConversionOptions,
  sizes: LatentSizes,
  originals: readonly GroupedAttentionConfig[],
): ConversionPlan {
  const method = methods[options.method];
  const formatName = options.format ?? "native";
  const format: OutputFormat = formats[formatName];
  const methodSizes = withoutChannels(sizes, format.needs);
  const made = withAttention(files.config, (layer) =>
    withHeadNorms(
      method.layerConfig(originals[layer], sizesOfLayer(methodSizes, layer)),
      originals[layer],
    ),
  );
  format.check({ original: files.configJson, config: made });
  const config = withAttention(made, (layer) =>
    format.layerConfig(latentAttention(made, layer), made.hiddenSize),
  );
  const tensors = plannedTensors(files, format.tensors(config), options);
  return {
    files,
    method: options.method,
    options,
    format: formatName,
    sizes,
    methodSizes,
    config,
    tensors,
    shards: planShards(
      tensors,
      options.maxShardBytes ? { maxShardBytes: options.maxShardBytes } : {},
    ),
    cacheBefore: kvCacheNumbersPerToken(files.config),
    cacheAfter: kvCacheNumbersPerToken(config),
  };
}

function convertible(attention: AttentionConfig): GroupedAttentionConfig {
  if (attention.kind !== "gqa") {
    throw new ConversionError(
      "AlreadyLatent",
      "The model already has latent attention; convert its original.",
    );
  }
  return attention;
}

/** The model with other attention. */
export function withAttention(
  config: ModelConfig,
  attention: (layer: number) => LatentAttentionConfig,
): ModelConfig {
  const layers = config.layers.map((layer, index) => ({ ...layer, attention: attention(index) }));
  return { ...config, layers };
}

function latentAttention({ layers }: ModelConfig, layer: number): LatentAttentionConfig {
  return layers[layer].attention as LatentAttentionConfig;
}

/** The sizes a caller gives are those of the cache, so what the format takes is missing to the method. */
function withoutChannels(sizes: LatentSizes, { latentChannels }: FormatNeeds): LatentSizes {
  const kvLoraRank = sizes.kvLoraRank - latentChannels;
  if (kvLoraRank >= 1) return { ...sizes, kvLoraRank };
  throw invalid(
    `kvLoraRank ${sizes.kvLoraRank} must be at least ${latentChannels + 1}: the format takes ${latentChannels} of the latent.`,
    { kvLoraRank: sizes.kvLoraRank, latentChannels },
  );
}

function plannedTensors(
  { checkpoint }: ModelFiles,
  tensors: readonly TensorSpec[],
  { dtype = "auto", method }: ConversionOptions,
): PlannedTensor[] {
  const typeLike = (name: string) =>
    outputDType(checkpoint.tensors.get(name)!.dtype, dtype, method);
  return tensors.map(({ name, shape }) => {
    const [prefix, layer] = /^model\.layers\.(\d+)\.self_attn\./.exec(name) ?? [];
    return layer === undefined
      ? { name, shape, dtype: typeLike(name) }
      : { name, shape, dtype: typeLike(`${prefix}q_proj.weight`), convertedLayer: Number(layer) };
  });
}

/**
 * `auto` keeps float formats. Block-quantised sources become float32 under the exact method, whose promise is that nothing
 * changes, and bfloat16 otherwise.
 */
function outputDType(source: string, wanted: OutputDType, method: MethodName): SafetensorsDType {
  if (wanted !== "auto") return wanted === "bf16" ? "BF16" : wanted === "f16" ? "F16" : "F32";
  if (source === "F32" || source === "F16" || source === "BF16") return source;
  return method === "exact" ? "F32" : "BF16";
}
