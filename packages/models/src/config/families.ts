import type { Activation } from "@transmla/kernels";
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
  /** Defaults the Hugging Face configuration class supplies for absent fields. */
  readonly defaults: { readonly maxPositions: number };
}

const never = () => false;
const attentionBias = (fields: Fields) => fields.boolean("attention_bias", false);

const llama: Family = {
  inputBias: attentionBias,
  outputBias: attentionBias,
  feedForwardBias: (fields) => fields.boolean("mlp_bias", false),
  window: () => undefined,
  feedForward: "gated",
  defaults: { maxPositions: 2048 },
};

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
  qwen2: {
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
  },
};

/** Activations by the `hidden_act` of Hugging Face configs. */
export const activations: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu_pytorch_tanh: "gelu-tanh",
};
