import type { JsonObject } from "@transmla/tensor-io";
import { deepseekAttention } from "../deepseek/config";
import { deepseekFeedForwards } from "../deepseek/experts";
import { ModelsError } from "../errors";
import { activations, families, type Family } from "./families";
import { Fields, mostExpertsOf, mostLayers, mostRotated } from "./fields";
import { latentLayers } from "./native";
import type {
  AttentionConfig,
  FeedForwardConfig,
  GroupedAttentionConfig,
  ModelConfig,
} from "./model-config";
import { configuredFrequencies } from "./rope";

/** `model_type` of models that `@transmla/conversion` writes. */
export const NATIVE_MODEL_TYPE = "transmla";

/**
 * Reads a Hugging Face `config.json`. Every size is checked and everything that this version cannot compute is refused
 * by name, before any weight is read. Code referenced by `auto_map` is never run.
 *
 * @param file Name used in messages.
 * @throws ModelsError `InvalidConfig`, `UnsupportedModel`
 */
export function parseConfig(json: JsonObject, file = "config.json"): ModelConfig {
  const fields = new Fields(json, file);
  const modelType = fields.string("model_type");
  const native = modelType === NATIVE_MODEL_TYPE ? fields.object("transmla") : undefined;
  const familyName = native ? native.string("base_model_type") : modelType;
  const family = familyNamed(familyName, native ? native.path : file);
  const hiddenSize = fields.size("hidden_size");
  const layers = fields.size("num_hidden_layers", undefined, mostLayers);
  const attention = attentionLayers(fields, family, { native, hiddenSize, layers });
  const feedForward = feedForwardConfig(fields, family, layers);
  const feedForwards =
    family.deepseek && feedForward.kind === "gated"
      ? deepseekFeedForwards(fields, layers, family.deepseek, feedForward)
      : attention.map(() => feedForward);
  return {
    family: familyName,
    vocabSize: fields.size("vocab_size"),
    hiddenSize,
    maxPositions: fields.size("max_position_embeddings", family.defaults.maxPositions),
    normEpsilon: normEpsilonOf(fields),
    tiedEmbeddings: fields.boolean("tie_word_embeddings", family.defaults.tiedEmbeddings ?? false),
    embeddingFactor: family.embeddingFactor(hiddenSize),
    normOffset: family.normOffset,
    layerNorms: family.layerNorms,
    softCap: family.softCaps(fields).logits,
    layers: attention.map((layer, i) => ({ attention: layer, feedForward: feedForwards[i] })),
    bosTokenId: fields.tokenIds("bos_token_id")[0],
    eosTokenIds: fields.tokenIds("eos_token_id"),
  };
}

function attentionLayers(
  fields: Fields,
  family: Family,
  sizes: { native: Fields | undefined; hiddenSize: number; layers: number },
): AttentionConfig[] {
  const { native, hiddenSize, layers } = sizes;
  if (family.deepseek) {
    const latent = deepseekAttention(fields, family.deepseek);
    return Array.from({ length: layers }, () => latent);
  }
  const grouped = groupedAttention(fields, family, hiddenSize);
  return native
    ? latentLayers(native, layers, grouped)
    : Array.from({ length: layers }, (_, layer) => grouped(layer));
}

const normEpsilonOf = (fields: Fields) => fields.positive("rms_norm_eps", 1e-6);

function familyNamed(name: string, path: string): Family {
  const family = Object.hasOwn(families, name) ? families[name] : undefined;
  if (family) return family;
  throw new ModelsError(
    "UnsupportedModel",
    `${path}: model type "${name}" is not supported; supported: ${Object.keys(families).join(", ")}, ${NATIVE_MODEL_TYPE}.`,
    { modelType: name },
  );
}

function groupedAttention(
  fields: Fields,
  family: Family,
  hiddenSize: number,
): (layer: number) => GroupedAttentionConfig {
  const heads = fields.size("num_attention_heads");
  const kvHeads = fields.size("num_key_value_heads", heads);
  if (heads % kvHeads !== 0) {
    fields.fail("num_key_value_heads", `a divisor of num_attention_heads (${heads})`, kvHeads);
  }
  const { headDim: familyHeadDim } = family.defaults;
  if (!fields.has("head_dim") && familyHeadDim === undefined && hiddenSize % heads !== 0) {
    fields.fail("hidden_size", `a multiple of num_attention_heads (${heads})`, hiddenSize);
  }
  const headDim = fields.size("head_dim", familyHeadDim ?? hiddenSize / heads, mostRotated);
  if (headDim % 2 !== 0) fields.fail("head_dim", "even, for rotary embeddings", headDim);
  const frequencies = configuredFrequencies(fields, headDim);
  const still = new Float64Array(headDim / 2);
  return (layer) => ({
    kind: "gqa",
    heads,
    kvHeads,
    headDim,
    // Frequency 0 turns nothing.
    frequencies: family.rotary(fields, layer) ? frequencies : still,
    scale: family.scale(fields, headDim),
    softCap: family.softCaps(fields).attention,
    window: family.window(fields, layer),
    inputBias: family.inputBias(fields),
    outputBias: family.outputBias(fields),
    headNormEpsilon: family.headNorms ? normEpsilonOf(fields) : undefined,
  });
}

function feedForwardConfig(fields: Fields, family: Family, layers: number): FeedForwardConfig {
  const intermediateSize = fields.size("intermediate_size");
  const field = fields.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  const name = fields.optionalString(field) ?? family.defaults.activation ?? "silu";
  const activation = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (!activation) {
    throw new ModelsError(
      "UnsupportedModel",
      `${fields.path}.${field} is "${name}"; supported: ${Object.keys(activations).join(", ")}.`,
      { field, value: name },
    );
  }
  if (family.feedForward === "gated") {
    return { kind: "gated", intermediateSize, activation, bias: family.feedForwardBias(fields) };
  }
  const experts = fields.size("num_local_experts", 8, mostExpertsOf(layers));
  const topK = fields.size("num_experts_per_tok", 2);
  if (topK > experts) fields.fail("num_experts_per_tok", `at most ${experts}`, topK);
  return { kind: "experts", intermediateSize, activation, experts, topK };
}
