import {
  NATIVE_FORMAT_VERSION,
  NATIVE_MODEL_TYPE,
  modelTensors,
  type LatentAttentionConfig,
} from "@transmla/models";
import { latentTensors } from "../weights";
import type { OutputFormat } from "./format";
import { JsonNumber, type JsonObject, type JsonValue } from "@transmla/tensor-io";

/** Our own layout, which says everything that a conversion can make (docs/formats/native.md). */
export const nativeFormat: OutputFormat = {
  needs: { standardLadder: false, latentChannels: 0 },
  check: () => {},
  layerConfig: (config) => config,
  tensors: modelTensors,
  layerWeights: async (weights) => weights,
  layerTensors: latentTensors,
  config({ original, config: { layers } }, details) {
    const attention = layers.map((layer) => layer.attention as LatentAttentionConfig);
    return nativeConfig(original, attention, details);
  },
};

/**
 * The config.json of a converted model: the original's with the model type `transmla` and a section that describes every
 * layer's latent attention (read by `parseConfig` of `@transmla/models`).
 */
export function nativeConfig(
  original: JsonObject,
  layers: readonly LatentAttentionConfig[],
  { method, torchDType }: { method: string; torchDType: string },
): JsonObject {
  const lists = new Map<string, number>();
  const frequencies: JsonValue[] = [];
  const listIndex = (values: Float64Array): number => {
    const key = values.join();
    if (!lists.has(key)) {
      lists.set(key, lists.size);
      frequencies.push(Array.from(values, number));
    }
    return lists.get(key)!;
  };
  const entries = layers.map((layer) => layerEntry(layer, listIndex(layer.frequencies)));
  const config: JsonObject = new Map(original);
  config.set("model_type", NATIVE_MODEL_TYPE);
  config.set("architectures", ["TransMLAForCausalLM"]);
  // Newer configs call it dtype; one of the two is enough.
  config.delete("dtype");
  config.set("torch_dtype", torchDType);
  // It names code of the original, which does not know this attention.
  config.delete("auto_map");
  config.set(
    "transmla",
    new Map<string, JsonValue>([
      ["version", number(NATIVE_FORMAT_VERSION)],
      ["base_model_type", original.get("model_type")!],
      ["method", method],
      ["rope_frequencies", frequencies],
      ["layers", entries],
    ]),
  );
  return config;
}

function layerEntry(layer: LatentAttentionConfig, frequencyList: number): JsonObject {
  return new Map<string, JsonValue>([
    ["kv_lora_rank", number(layer.kvLoraRank)],
    ["qk_rope_head_dim", number(layer.ropeDim)],
    ["qk_nope_head_dim", number(layer.nopeDim)],
    ["v_head_dim", number(layer.valueDim)],
    ["key_up_heads", number(layer.keyUpHeads)],
    ["value_up_heads", number(layer.valueUpHeads)],
    ["q_lora_rank", layer.qLoraRank === undefined ? null : number(layer.qLoraRank)],
    ["rope_frequencies", number(frequencyList)],
    ["query_bias", layer.queryBias],
    ["latent_bias", layer.latentBias],
    ["output_bias", layer.outputBias],
  ]);
}

/** JavaScript prints the shortest text that gives the same float64 back. */
const number = (value: number): JsonNumber => new JsonNumber(`${value}`);
