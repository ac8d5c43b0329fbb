import {
  kvCacheNumbersPerToken,
  layerTensors,
  modelTensors,
  type AttentionConfig,
  type GroupedAttentionConfig,
  type ModelConfig,
  type ModelFiles,
} from "@transmla/models";
import { planShards, type SafetensorsDType, type ShardedPlan } from "@transmla/tensor-io";
import { ConversionError } from "./errors";
import { methods, type MethodName } from "./methods";
import type { ConversionOptions, LatentSizes, OutputDType } from "./options";

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
  readonly sizes: LatentSizes;
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
 * @throws ConversionError `AlreadyLatent`, `UnsupportedAttention`, `InvalidOption`
 */
export function planConversion(files: ModelFiles, options: ConversionOptions): ConversionPlan {
  const originals = files.config.layers.map(({ attention }) => convertible(attention));
  const method = methods[options.method];
  const sizes = method.sizes(originals[0], options);
  const config: ModelConfig = {
    ...files.config,
    layers: files.config.layers.map((layer, index) => ({
      ...layer,
      attention: method.layerConfig(originals[index], sizes),
    })),
  };
  const tensors = plannedTensors(files, config, options);
  return {
    files,
    method: options.method,
    sizes,
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
  if (attention.headNormEpsilon !== undefined) {
    throw new ConversionError(
      "UnsupportedAttention",
      "The model normalises every query and key head (q_norm, k_norm), which is not linear in the layer's input; such models run, but cannot be converted yet.",
      { part: "q_norm, k_norm" },
    );
  }
  return attention;
}

function plannedTensors(
  { config: original, checkpoint }: ModelFiles,
  config: ModelConfig,
  { dtype = "auto", method }: ConversionOptions,
): PlannedTensor[] {
  const sourceDType = (name: string) => checkpoint.tensors.get(name)!.dtype;
  const attentionOf = new Map<string, number>();
  const attentionDType: SafetensorsDType[] = [];
  for (const [layer, { attention }] of config.layers.entries()) {
    const before = new Set(layerTensors(original, layer).map(({ name }) => name));
    for (const { name } of layerTensors(config, layer)) {
      const made = !before.has(name) || name.includes(".self_attn.");
      if (made && attention.kind === "mla") attentionOf.set(name, layer);
    }
    const query = [...before].find((name) => name.endsWith("self_attn.q_proj.weight"))!;
    attentionDType.push(outputDType(sourceDType(query), dtype, method));
  }
  return modelTensors(config).map(({ name, shape }) => {
    const convertedLayer = attentionOf.get(name);
    return convertedLayer === undefined
      ? { name, shape, dtype: outputDType(sourceDType(name), dtype, method) }
      : { name, shape, dtype: attentionDType[convertedLayer], convertedLayer };
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
