import { families } from "../config/families";
import { Fields } from "../config/fields";
import type { ExpertsFeedForwardConfig, LatentAttentionConfig } from "../config/model-config";
import { ropeFrequencies } from "../config/rope";
import { deepseekTensors, type DeepseekTensor } from "../deepseek/layout";
import { ggufName } from "../gguf/architectures";
import type { ModelFiles } from "../open-model";
import { CHOICE_BIAS, modelTensors } from "../tensors";
import {
  cannotCarry,
  commonSettings,
  f32,
  ropeTheta,
  u32,
  type DescribeModel,
  type GgufSetting,
} from "./gguf-model";
import {
  copied,
  elementType,
  fused,
  stacked,
  transposedHeads,
  type GgufWeights,
  type PlannedGgufTensor,
  type TensorSource,
} from "./gguf-tensor";

const ARCHITECTURE = "deepseek2";
/** `enum llama_expert_gating_func_type` */
const SCORES = { softmax: 1, sigmoid: 2 };

/**
 * Latent attention in the DeepSeek layout: architecture `deepseek2`, in the form that llama.cpp runs from the latent cache. It keeps the up-projection
 * of the keys transposed and apart from that of the values, and experts stacked (llama.cpp, src/models/deepseek2.cpp).
 */
export const latentModel: DescribeModel = (files, weights) => {
  const attention = exportableAttention(files);
  return {
    architecture: ARCHITECTURE,
    tensors: latentTensors(files, attention, weights),
    settings: [
      ...commonSettings(files),
      ...attentionSettings(attention),
      ...feedForwardSettings(files),
      ...yarnSettings(files),
    ],
  };
};

function latentTensors(
  files: ModelFiles,
  attention: LatentAttentionConfig,
  weights: GgufWeights,
): PlannedGgufTensor[] {
  const { checkpoint, config } = files;
  const planned = new Map<string, PlannedGgufTensor>();
  const add = (name: string, from: string, shape: readonly number[], source: TensorSource) => {
    // Routers stay exact: a token that goes elsewhere is no rounding.
    const router = from.endsWith(".mlp.gate.weight");
    const stored = checkpoint.tensors.get(from)!.dtype;
    const dtype = router ? "F32" : elementType(stored, shape, weights);
    planned.set(name, { spec: { name, dtype, shape }, source });
  };
  const rename = (name: string): string => {
    const renamed = latentName(name);
    if (renamed === undefined) throw cannotCarry(files, `the tensor ${name}`);
    return renamed;
  };
  const { heads, nopeDim, valueDim, kvLoraRank } = attention;
  for (const tensor of deepseekTensors(modelTensors(config), attention, true)) {
    const { name, shape, parts } = tensor;
    if (parts && name.endsWith("kv_b_proj.weight")) {
      const [key, value] = parts.map((part) => part.name) as [string, string];
      add(rename(key), key, [heads, kvLoraRank, nopeDim], transposedHeads(key, heads));
      add(rename(value), value, [heads, valueDim, kvLoraRank], copied(value));
    } else if (parts) {
      add(rename(name), parts[0]!.name, shape, fused(parts));
    } else if (expertOf(tensor) === undefined) {
      add(rename(name), name, shape, copied(name));
    } else if (expertOf(tensor) === 0) {
      const names = expertNames(tensor, config.layers);
      add(rename(withoutExpert(name)), name, [names.length, ...shape], stacked(names));
    }
  }
  return [...planned.values()];
}

const expertPattern = /^model\.layers\.(\d+)\.mlp\.experts\.(\d+)\./;

/** The number of the routed expert that a tensor belongs to. */
function expertOf({ name }: DeepseekTensor): number | undefined {
  const expert = expertPattern.exec(name)?.[2];
  return expert === undefined ? undefined : Number(expert);
}

const withoutExpert = (name: string): string => name.replace(/\.experts\.\d+\./, ".experts.");

/** The same tensor of all experts of its layer. */
function expertNames({ name }: DeepseekTensor, layers: ModelFiles["config"]["layers"]): string[] {
  const layer = Number(expertPattern.exec(name)![1]);
  const { experts } = layers[layer]!.feedForward as ExpertsFeedForwardConfig;
  return Array.from({ length: experts }, (_, expert) =>
    name.replace(/\.experts\.\d+\./, `.experts.${expert}.`),
  );
}

function latentName(name: string): string | undefined {
  const [, layer, rest] = /^model\.layers\.(\d+)\.mlp\.(.+)$/.exec(name) ?? [];
  return rest === CHOICE_BIAS ? `blk.${layer}.exp_probs_b.bias` : ggufName(name);
}

function attentionSettings({
  kvLoraRank,
  ropeDim,
  nopeDim,
  valueDim,
  qLoraRank,
}: LatentAttentionConfig): GgufSetting[] {
  return [
    // What is cached is one key/value head for all.
    ["attention.head_count_kv", u32(1)],
    ["attention.kv_lora_rank", u32(kvLoraRank)],
    // 0: dense queries, whatever the number of layers.
    ["attention.q_lora_rank", u32(qLoraRank ?? 0)],
    ["attention.key_length", u32(kvLoraRank + ropeDim)],
    ["attention.value_length", u32(kvLoraRank)],
    ["attention.key_length_mla", u32(nopeDim + ropeDim)],
    ["attention.value_length_mla", u32(valueDim)],
    ["rope.dimension_count", u32(ropeDim)],
  ];
}

function feedForwardSettings({ config: { layers } }: ModelFiles): GgufSetting[] {
  const dense = layers.filter(({ feedForward }) => feedForward.kind === "gated").length;
  const lead: GgufSetting = ["leading_dense_block_count", u32(dense)];
  const feedForward = layers.at(-1)!.feedForward;
  if (feedForward.kind === "gated") {
    // Asked for even where no layer has experts.
    const { intermediateSize } = feedForward;
    return [
      lead,
      ["expert_feed_forward_length", u32(intermediateSize)],
      ["expert_shared_count", u32(0)],
    ];
  }
  const { routing, sharedSize } = feedForward.deepseek!;
  return [
    lead,
    ["expert_feed_forward_length", u32(feedForward.intermediateSize)],
    ["expert_shared_count", u32(sharedSize / feedForward.intermediateSize)],
    ["expert_count", u32(feedForward.experts)],
    ["expert_used_count", u32(feedForward.topK)],
    ["expert_gating_func", u32(SCORES[routing.scores])],
    ["expert_weights_norm", routing.normalise],
    ["expert_weights_scale", f32(routing.scale)],
    ["expert_group_count", u32(routing.groups)],
    ["expert_group_used_count", u32(routing.topGroups)],
  ];
}

function yarnOf(files: ModelFiles): Fields | undefined {
  const { configJson } = files;
  const scaling = new Fields(configJson, "config.json").optionalObject("rope_scaling");
  const type = scaling?.optionalString("rope_type") ?? scaling?.optionalString("type");
  return type === "yarn" ? scaling : undefined;
}

function yarnSettings(files: ModelFiles): GgufSetting[] {
  const scaling = yarnOf(files);
  if (!scaling) return [];
  return [
    ["rope.scaling.type", "yarn"],
    ["rope.scaling.factor", f32(scaling.positive("factor"))],
    [
      "rope.scaling.original_context_length",
      u32(scaling.positive("original_max_position_embeddings")),
    ],
    // A tenth, by a convention of llama.cpp's files of this architecture.
    ["rope.scaling.yarn_log_multiplier", f32(0.1 * scaling.positive("mscale_all_dim"))],
  ];
}

const BIAS_FREE = "Convert its original with --format deepseek-bias-free and export that.";

/** The attention of every layer. */
function exportableAttention(files: ModelFiles): LatentAttentionConfig {
  const { layers, family } = files.config;
  if (!families[family]!.deepseek) {
    throw cannotCarry(files, "the latent attention in our own layout", BIAS_FREE);
  }
  for (const { attention, feedForward } of layers) {
    if (attention.kind !== "mla") throw cannotCarry(files, "the grouped attention");
    if (attention.latentBias || attention.outputBias || attention.queryDownBias) {
      throw cannotCarry(files, "the biases of the attention", BIAS_FREE);
    }
    if (feedForward.activation !== "silu") {
      throw cannotCarry(files, `the activation ${feedForward.activation}`);
    }
    if (feedForward.kind === "gated") {
      if (feedForward.bias) throw cannotCarry(files, "the biases of the feed-forward");
    } else refuseRouting(files, feedForward);
  }
  const attention = layers[0]!.attention as LatentAttentionConfig;
  refuseScaling(files, attention);
  return attention;
}

function refuseRouting(files: ModelFiles, { deepseek }: ExpertsFeedForwardConfig): void {
  const { routing, sharedSize } = deepseek!;
  if (routing.groups > 1 && routing.bestOfGroup !== 2) {
    throw cannotCarry(files, "the choice of experts by the best of a group");
  }
  if (sharedSize === 0) throw cannotCarry(files, "experts without a shared one");
}

/** YaRN as DeepSeek has it is known to llama.cpp; it has no place for factors of single frequencies. */
function refuseScaling(files: ModelFiles, { frequencies, ropeDim }: LatentAttentionConfig): void {
  const instead = "Hugging Face transformers runs the folder as it is.";
  const scaling = yarnOf(files);
  if (scaling) {
    const usual: readonly (readonly [string, number])[] = [
      ["beta_fast", 32],
      ["beta_slow", 1],
    ];
    const other = usual.some(([name, value]) => scaling.positive(name, value) !== value);
    if (!other && scaling.has("mscale_all_dim") && scaling.boolean("truncate", true)) return;
  }
  const plain = ropeFrequencies(ropeDim, ropeTheta(files));
  if (scaling || frequencies.some((frequency, f) => frequency !== plain[f])) {
    throw cannotCarry(files, "the rotary scaling", instead);
  }
}
