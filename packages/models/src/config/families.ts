import type { Activation } from "@transmla/kernels";
import type { DeepseekFamily } from "../deepseek/config";
import { deepseekV2Routing, deepseekV3Routing } from "../deepseek/experts";
import type { Fields } from "./fields";

/** How a family of models differs from the plain decoder: its row in the table below, and nothing anywhere else. */
export interface Family {
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
  /** Present where the model has latent attention, stored in DeepSeek's layout. */
  readonly deepseek?: DeepseekFamily;
  /** Tensors of checkpoints that the model does not need to predict the next token. */
  readonly unused?: RegExp;
  /** Defaults the Hugging Face configuration class supplies for absent fields. */
  readonly defaults: { readonly maxPositions: number; readonly headDim?: number };
}

const never = () => false;
const attentionBias = (fields: Fields) => fields.boolean("attention_bias", false);

const llama: Family = {
  inputBias: attentionBias,
  outputBias: attentionBias,
  feedForwardBias: (fields) => fields.boolean("mlp_bias", false),
  window: () => undefined,
  feedForward: "gated",
  headNorms: false,
  rotary: () => true,
  defaults: { maxPositions: 2048 },
};

const qwen2: Family = {
  ...llama,
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

/** Decoder families by the `model_type` of their Hugging Face config. */
export const families: Readonly<Record<string, Family>> = {
  llama,
  mistral: {
    ...llama,
    inputBias: never,
    outputBias: never,
    feedForwardBias: never,
    window: (fields) => fields.optionalSize("sliding_window"),
    defaults: { maxPositions: 131072 },
  },
  mixtral: {
    ...llama,
    inputBias: never,
    outputBias: never,
    window: (fields) => fields.optionalSize("sliding_window"),
    feedForward: "experts",
    defaults: { maxPositions: 131072 },
  },
  qwen2,
  qwen3: {
    ...qwen2,
    inputBias: attentionBias,
    outputBias: attentionBias,
    headNorms: true,
    defaults: { maxPositions: 32768, headDim: 128 },
  },
  // Qwen2 with layers for predicting several tokens at once, which nothing here runs.
  mimo: { ...qwen2, unused: /^model\.mtp_layers\./ },
  deepseek_v3: deepseekV3,
  deepseek_v2: {
    ...deepseekV3,
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
    rotary: smolLm3Rotary,
    window: (fields, layer) =>
      fields.boolean("use_sliding_window", false) && !smolLm3Rotary(fields, layer)
        ? fields.optionalSize("sliding_window")
        : undefined,
    defaults: { maxPositions: 32768 },
  },
};

/** Activations by the `hidden_act` of Hugging Face configs. */
export const activations: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu_pytorch_tanh: "gelu-tanh",
};
