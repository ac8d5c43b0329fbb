import type { GroupedAttentionConfig } from "../config/model-config";
import { ropeFrequencies } from "../config/rope";
import { architectureOfFamily, architectures, ggufName, rotatedHeads } from "../gguf/architectures";
import type { ModelFiles } from "../open-model";
import { modelTensors } from "../tensors";
import { cannotCarry, commonSettings, ropeTheta, u32, type DescribeModel } from "./gguf-model";
import { copied, elementType, interleaved, type PlannedGgufTensor } from "./gguf-tensor";

/** Grouped attention: architectures `llama`, `qwen2`, `qwen3`. */
export const groupedModel: DescribeModel = (files, weights) => {
  const { heads, kvHeads, headDim } = exportableAttention(files);
  const { config, checkpoint } = files;
  const architecture = architectureOfFamily[config.family]!;
  const { interleavedRope } = architectures[architecture]!;
  const tensors = modelTensors(config).map(({ name, shape }): PlannedGgufTensor => {
    const dtype = elementType(checkpoint.tensors.get(name)!.dtype, shape, weights);
    const turned = interleavedRope && rotatedHeads(name, { query: heads, key: kvHeads });
    return {
      spec: { name: ggufName(name)!, dtype, shape },
      source: turned ? interleaved(name, turned) : copied(name),
    };
  });
  return {
    architecture,
    tensors,
    settings: [
      ...commonSettings(files),
      ["attention.head_count_kv", u32(kvHeads)],
      ["attention.key_length", u32(headDim)],
      ["attention.value_length", u32(headDim)],
      ["rope.dimension_count", u32(headDim)],
    ],
  };
};

/** The attention of every layer. */
function exportableAttention(files: ModelFiles): GroupedAttentionConfig {
  const { layers, family, maxPositions } = files.config;
  const refuse = (part: string): never => {
    throw cannotCarry(files, part);
  };
  if (!Object.hasOwn(architectureOfFamily, family)) refuse("the architecture");
  for (const { attention, feedForward } of layers) {
    if (attention.kind !== "gqa") return refuse("the latent attention");
    if (attention.window !== undefined && attention.window < maxPositions) {
      refuse("the sliding window");
    }
    const plain = ropeFrequencies(attention.headDim, ropeTheta(files));
    if (attention.frequencies.some((frequency, f) => frequency !== plain[f])) {
      refuse("the rotary scaling");
    }
    if (feedForward.kind !== "gated") return refuse("the experts");
    if (feedForward.activation !== "silu") refuse(`the activation ${feedForward.activation}`);
  }
  const unnamed = modelTensors(files.config).find(({ name }) => ggufName(name) === undefined);
  if (unnamed) refuse(`the tensor ${unnamed.name}`);
  return layers[0]!.attention as GroupedAttentionConfig;
}
