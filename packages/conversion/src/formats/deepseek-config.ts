import {
  parseConfig,
  type AttentionConfig,
  type LatentAttentionConfig,
  type ModelConfig,
} from "@transmla/models";
import { JsonNumber, type JsonObject, type JsonValue } from "@transmla/tensor-io";
import { ConversionError } from "../errors";
import { LADDER_STEPS } from "../methods/output-aware/ladder";
import type { FormatModel, OutputFormat } from "./format";

/**
 * Refuses what `DeepseekV3ForCausalLM` has no place for.
 *
 * @param layerConfig a layer as it is written
 * @throws ConversionError `UnsupportedFormat`
 */
export function checkDeepseek(
  { original, config }: FormatModel,
  layerConfig: OutputFormat["layerConfig"],
): void {
  const { maxPositions, layers } = config;
  if (config.layerNorms === "around") throw noStockClass("norms behind attention and feed-forward");
  if (config.normOffset !== 0) throw noStockClass("norms whose weights lack a constant");
  if (config.embeddingFactor !== 1) throw noStockClass("a factor on the embedding");
  if (config.softCap !== undefined) throw noStockClass("soft-capped logits");
  for (const { attention, feedForward } of layers) {
    if (attention.kind === "mla" && attention.headNorms) {
      throw noStockClass("norms of query and key heads");
    }
    if (attention.softCap !== undefined) throw noStockClass("soft-capped attention");
    if (feedForward.kind === "experts") throw noStockClass("Mixtral's experts");
    if (feedForward.bias) throw noStockClass("biases of the feed-forward");
    if (attention.window !== undefined && attention.window < maxPositions) {
      throw noStockClass(`a sliding window of ${attention.window} tokens`);
    }
  }
  const written = config.layers.map(({ attention, ...rest }) => ({
    ...rest,
    attention: layerConfig(attention as LatentAttentionConfig, config.hiddenSize),
  }));
  ropeBase({ original, config: { ...config, layers: written } });
}

const noStockClass = (part: string): ConversionError =>
  refused("deepseek", `${part}: its stock class does not compute it`, "the native format");

/** @param instead what to use */
export function refused(format: string, part: string, instead: string): ConversionError {
  return new ConversionError(
    "UnsupportedFormat",
    `The ${format} format cannot carry ${part}. Use ${instead}.`,
    { format, part },
  );
}

/**
 * The `rope_theta` that gives all layers' frequencies, `theta^(s d_rope / d)` where each is `s` of the original's below the one before
 * it. Scalings by frequency (linear, llama3) stay as they are.
 */
function ropeBase({ original, config }: FormatModel): number {
  const { layers } = config;
  const { nopeDim: headDim, ropeDim } = layers[0].attention as LatentAttentionConfig;
  const theta = original.get("rope_theta");
  const base = theta instanceof JsonNumber ? theta.value : 10000;
  // Steps of `output-aware` and of `transmla`.
  const candidates = [...LADDER_STEPS, headDim / ropeDim].map(
    (step) => base ** ((step * ropeDim) / headDim),
  );
  const found = candidates.find((candidate) => {
    const stock = parseConfig(deepseekFields({ original, config }, candidate)).layers[0].attention;
    const sameScale = stock.scale === 1 / Math.sqrt(headDim + ropeDim);
    return sameScale && layers.every(({ attention }) => agree(attention, stock));
  });
  if (found !== undefined) return found;
  throw refused(
    "deepseek",
    "this rotary scaling: it gives no ladder of one rope_theta in all layers",
    "the native format",
  );
}

function agree({ frequencies: a }: AttentionConfig, { frequencies: b }: AttentionConfig): boolean {
  return a.length === b.length && a.every((value, i) => Math.abs(value - b[i]) <= 1e-12 * b[i]);
}

/** The config.json of the stock class. */
export function deepseekConfig(
  model: FormatModel,
  { torchDType }: { torchDType: string },
): JsonObject {
  return deepseekFields(model, ropeBase(model)).set("torch_dtype", torchDType);
}

/** Fields that mean the same in both classes and are taken over as they are. */
const sameFields = ["bos_token_id", "eos_token_id", "pad_token_id", "initializer_range"];

function deepseekFields({ original, config }: FormatModel, ropeTheta: number): JsonObject {
  const stock = config.layers[0].attention as LatentAttentionConfig;
  const kept = sameFields.map((name): [string, JsonValue] => [name, original.get(name) ?? null]);
  return new Map<string, JsonValue>([
    ["architectures", ["DeepseekV3ForCausalLM"]],
    ["model_type", "deepseek_v3"],
    ...kept.filter(([name, value]) => value !== null || name !== "initializer_range"),
    ["vocab_size", number(config.vocabSize)],
    ["hidden_size", number(config.hiddenSize)],
    ["num_hidden_layers", number(config.layers.length)],
    ["num_attention_heads", number(stock.heads)],
    ["num_key_value_heads", number(stock.heads)],
    ["max_position_embeddings", number(config.maxPositions)],
    ["rms_norm_eps", number(config.normEpsilon)],
    ["tie_word_embeddings", config.tiedEmbeddings],
    ["hidden_act", original.get("hidden_act") ?? "silu"],
    ["attention_bias", stock.latentBias],
    ["attention_dropout", real(0)],
    ["kv_lora_rank", number(stock.kvLoraRank)],
    ["q_lora_rank", stock.qLoraRank === undefined ? null : number(stock.qLoraRank)],
    ["qk_nope_head_dim", number(stock.nopeDim)],
    ["qk_rope_head_dim", number(stock.ropeDim)],
    ["qk_head_dim", number(stock.nopeDim + stock.ropeDim)],
    ["head_dim", number(stock.ropeDim)],
    ["v_head_dim", number(stock.valueDim)],
    ["rope_interleave", true],
    ["rope_theta", real(ropeTheta)],
    ["rope_scaling", original.get("rope_scaling") ?? null],
    ...withoutExperts(config),
  ]);
}

/** All layers dense. The fields of experts, which no layer has, are small lest an engine allocates for them. */
function withoutExperts({ layers }: ModelConfig): [string, JsonValue][] {
  const { intermediateSize } = layers[0].feedForward;
  const one = ["n_routed_experts", "n_shared_experts", "num_experts_per_tok", "n_group"];
  return [
    ["intermediate_size", number(intermediateSize)],
    ["moe_intermediate_size", number(intermediateSize)],
    ["first_k_dense_replace", number(layers.length)],
    ...[...one, "topk_group"].map((name): [string, JsonValue] => [name, number(1)]),
  ];
}

const number = (value: number): JsonNumber => new JsonNumber(`${value}`);

/** With a fraction, because Python tells 1 from 1.0. */
const real = (value: number): JsonNumber =>
  new JsonNumber(Number.isInteger(value) ? value.toFixed(1) : `${value}`);
