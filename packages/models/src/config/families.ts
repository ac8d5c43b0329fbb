import type { Activation } from "@transmla/kernels";
import type { DeepseekFamily } from "../deepseek/config";
import { deepseekV2Routing, deepseekV3Routing } from "../deepseek/experts";
import type { Fields } from "./fields";

/** How a family of models differs from the plain decoder: its row in the table below, and nothing anywhere else. */
export interface Family {
  /** What sets it apart, for docs/families.md, which is made of this table. */
  readonly about: string;
  /** Biases of the query, key and value projections. */
  readonly inputBias: (fields: Fields) => boolean;
  /** Bias of the attention's output projection. */
  readonly outputBias: (fields: Fields) => boolean;
  /** Bias of the gated feed-forward. */
  readonly feedForwardBias: (fields: Fields) => boolean;
  /** Sliding window of a layer in tokens. */
  readonly window: (fields: Fields, layer: number) => number | undefined;
  readonly feedForward: "gated" | "experts";
  /** RMS norms of every query and key head, between projection and rotation. */
  readonly headNorms: boolean;
  /** Whether a layer's queries and keys are rotated; without, its attention knows no positions. */
  readonly rotary: (fields: Fields, layer: number) => boolean;
  /** Where a layer's RMS norms stand: before attention and feed-forward, or before and behind both. */
  readonly layerNorms: "before" | "around";
  /** What is added to the stored weights of all RMS norms. */
  readonly normOffset: number;
  /** Factor on the attention logits. */
  readonly scale: (fields: Fields, headDim: number) => number;
  /** Factor on the embedded tokens. */
  readonly embeddingFactor: (hiddenSize: number) => number;
  /** Soft caps of the attention logits and of the model's logits, where it has them. */
  readonly softCaps: (fields: Fields) => SoftCaps;
  /** Present where the model has latent attention, stored in DeepSeek's layout. */
  readonly deepseek?: DeepseekFamily;
  /** Tensors of checkpoints that the model does not need to predict the next token. */
  readonly unused?: RegExp;
  /** Defaults the Hugging Face configuration class supplies for absent fields. */
  readonly defaults: {
    readonly maxPositions: number;
    readonly headDim?: number;
    /** A name of `activations`; "silu" unless given. */
    readonly activation?: string;
    readonly tiedEmbeddings?: boolean;
  };
}

interface SoftCaps {
  readonly attention?: number | undefined;
  readonly logits?: number | undefined;
}

const never = () => false;
const attentionBias = (fields: Fields) => fields.boolean("attention_bias", false);

const llama: Family = {
  about:
    "grouped-query attention, gated feed-forward, norms before both; biases where the config has them",
  inputBias: attentionBias,
  outputBias: attentionBias,
  feedForwardBias: (fields) => fields.boolean("mlp_bias", false),
  window: () => undefined,
  feedForward: "gated",
  headNorms: false,
  rotary: () => true,
  layerNorms: "before",
  normOffset: 0,
  scale: (_, headDim) => 1 / Math.sqrt(headDim),
  embeddingFactor: () => 1,
  softCaps: () => ({}),
  defaults: { maxPositions: 2048 },
};

const qwen2: Family = {
  ...llama,
  about: "biases of queries, keys and values; a sliding window from some layer on",
  inputBias: () => true,
  outputBias: never,
  feedForwardBias: never,
  // Layers from `max_window_layers` on slide, and only where the config asks for it.
  window: (fields, layer) =>
    fields.boolean("use_sliding_window", false) && layer >= fields.count("max_window_layers", 28)
      ? fields.optionalSize("sliding_window")
      : undefined,
  defaults: { maxPositions: 32768 },
};

const deepseekV3: Family = {
  ...llama,
  about: "latent attention; experts chosen by sigmoid scores and a bias, in groups; shared experts",
  feedForwardBias: never,
  deepseek: {
    interleaved: (fields) => fields.boolean("rope_interleave", true),
    denseLayers: 3,
    routing: deepseekV3Routing,
    choiceBias: true,
  },
  defaults: { maxPositions: 4096 },
};

/** SmolLM3 rotates the layers that `no_rope_layers` marks with 1, by default all but every fourth. */
function smolLm3Rotary(fields: Fields, layer: number): boolean {
  if (!fields.has("no_rope_layers")) {
    return (layer + 1) % fields.size("no_rope_layer_interval", 4) !== 0;
  }
  return fields.integers("no_rope_layers")[layer] !== 0;
}

/** Gemma 2 slides in the layers that `layer_types` names, by default in every second one from the first on. */
function gemma2Slides(fields: Fields, layer: number): boolean {
  if (!fields.has("layer_types")) return layer % 2 === 0;
  const type = fields.list("layer_types")[layer];
  if (type === "sliding_attention" || type === "full_attention")
    return type === "sliding_attention";
  return fields.fail(`layer_types[${layer}]`, '"sliding_attention" or "full_attention"', type);
}

/** Decoder families by the `model_type` of their Hugging Face config. */
export const families: Readonly<Record<string, Family>> = {
  llama,
  mistral: {
    ...llama,
    about: "a sliding window in every layer",
    inputBias: never,
    outputBias: never,
    feedForwardBias: never,
    window: (fields) => fields.optionalSize("sliding_window"),
    defaults: { maxPositions: 131072 },
  },
  mixtral: {
    ...llama,
    about: "a mixture of experts; a sliding window",
    inputBias: never,
    outputBias: never,
    window: (fields) => fields.optionalSize("sliding_window"),
    feedForward: "experts",
    defaults: { maxPositions: 131072 },
  },
  qwen2,
  qwen3: {
    ...qwen2,
    about: "norms of query and key heads; a sliding window from some layer on",
    inputBias: attentionBias,
    outputBias: attentionBias,
    headNorms: true,
    defaults: { maxPositions: 32768, headDim: 128 },
  },
  // Qwen2 with layers for predicting several tokens at once, which nothing here runs.
  mimo: {
    ...qwen2,
    about: "qwen2 with layers that predict several tokens, which are passed over",
    unused: /^model\.mtp_layers\./,
  },
  deepseek_v3: deepseekV3,
  deepseek_v2: {
    ...deepseekV3,
    about: "latent attention; experts chosen by softmax scores, in groups; shared experts",
    feedForwardBias: llama.feedForwardBias,
    deepseek: {
      interleaved: () => true,
      denseLayers: 0,
      routing: deepseekV2Routing,
      choiceBias: false,
    },
    defaults: { maxPositions: 2048 },
  },
  smollm3: {
    ...llama,
    about: "layers without rotation; a sliding window in those",
    rotary: smolLm3Rotary,
    window: (fields, layer) =>
      fields.boolean("use_sliding_window", false) && !smolLm3Rotary(fields, layer)
        ? fields.optionalSize("sliding_window")
        : undefined,
    defaults: { maxPositions: 32768 },
  },
  // arXiv 2408.00118.
  gemma2: {
    ...llama,
    about:
      "soft caps of attention and logits; a sliding window in every second layer; norms around attention and feed-forward; gated GELU; a factor on the embedding",
    feedForwardBias: never,
    window: (fields, layer) =>
      gemma2Slides(fields, layer) ? fields.size("sliding_window", 4096) : undefined,
    layerNorms: "around",
    normOffset: 1,
    scale: (fields) => 1 / Math.sqrt(fields.positive("query_pre_attn_scalar", 256)),
    embeddingFactor: (hiddenSize) => Math.sqrt(hiddenSize),
    softCaps: (fields) => ({
      attention: fields.optionalPositive("attn_logit_softcapping", 50),
      logits: fields.optionalPositive("final_logit_softcapping", 30),
    }),
    defaults: {
      maxPositions: 8192,
      headDim: 256,
      activation: "gelu_pytorch_tanh",
      tiedEmbeddings: true,
    },
  },
};

/** Activations by the `hidden_act` of Hugging Face configs. */
export const activations: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu_pytorch_tanh: "gelu-tanh",
};
