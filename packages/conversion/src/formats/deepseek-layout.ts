import {
  attentionTensors,
  deepseekTensors,
  modelTensors,
  type LatentAttentionConfig,
} from "@transmla/models";
import { latentTensors, type NamedTensor } from "../weights";
import { checkDeepseek, deepseekConfig } from "./deepseek-config";
import type { OutputFormat } from "./format";

/** How a variant of the DeepSeek layout makes the stock attention compute ours. */
export type DeepseekVariant = Pick<OutputFormat, "layerConfig" | "layerWeights"> & {
  /** What is refused beyond what no stock class computes. */
  readonly check?: OutputFormat["check"];
};

/** The layout of `DeepseekV3ForCausalLM` (docs/formats/deepseek.md); every layer alike, one channel of the latent for the norm. */
export function deepseekLayout({
  check = () => {},
  layerConfig,
  layerWeights,
}: DeepseekVariant): OutputFormat {
  return {
    needs: { standardLadder: true, latentChannels: 1 },
    check(model) {
      check(model);
      checkDeepseek(model, layerConfig);
    },
    layerConfig,
    layerWeights,
    tensors(config) {
      const attention = config.layers[0].attention as LatentAttentionConfig;
      return deepseekTensors(modelTensors(config), attention, true);
    },
    layerTensors(weights, prefix) {
      const hidden = weights.output.rows;
      return fused(latentTensors(weights, prefix), weights.config, hidden, prefix);
    },
    config: deepseekConfig,
  };
}

/** Our tensors of a layer's attention laid together as the DeepSeek layout stores them. */
function fused(
  ours: readonly NamedTensor[],
  config: LatentAttentionConfig,
  hidden: number,
  prefix: string,
): NamedTensor[] {
  const byName = new Map(ours.map((tensor) => [tensor.name, tensor]));
  const specs = attentionTensors(config, hidden, prefix);
  return deepseekTensors(specs, config, true).map(({ name, shape, parts }) => {
    if (!parts) return byName.get(name)!;
    const width = shape[1] ?? 1;
    const values = new Float32Array(shape[0] * width);
    for (const part of parts) {
      const source = byName.get(part.name)!.values;
      for (const [row, target] of part.rows.entries()) {
        values.set(source.subarray(row * width, (row + 1) * width), target * width);
      }
    }
    return { name, shape, values };
  });
}
