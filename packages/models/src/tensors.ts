import type { Checkpoint } from "@transmla/tensor-io";
import { families } from "./config/families";
import type { AttentionConfig, FeedForwardConfig, ModelConfig } from "./config/model-config";
import { ModelsError } from "./errors";

/** A tensor the model needs: its name in the checkpoint and its shape (`[out, in]` or `[size]`). */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Tensors that checkpoints carry although they follow from the config. */
const derived = /(^|\.)rotary_emb\.inv_freq$/;

/** Name prefix of a decoder layer, as in Hugging Face checkpoints. */
export const layerPrefix = (layer: number): string => `model.layers.${layer}.`;

/** Name prefix of a layer's attention. */
export const attentionPrefix = (layer: number): string => `${layerPrefix(layer)}self_attn.`;

/** Every tensor of a model, in the order of the forward pass. */
export function modelTensors(config: ModelConfig): TensorSpec[] {
  const { hiddenSize, vocabSize } = config;
  return [
    { name: "model.embed_tokens.weight", shape: [vocabSize, hiddenSize] },
    ...config.layers.flatMap((_, layer) => layerTensors(config, layer)),
    { name: "model.norm.weight", shape: [hiddenSize] },
    ...(config.tiedEmbeddings ? [] : [{ name: "lm_head.weight", shape: [vocabSize, hiddenSize] }]),
  ];
}

/** The tensors of one decoder layer. */
export function layerTensors(config: ModelConfig, layer: number): TensorSpec[] {
  const prefix = layerPrefix(layer);
  const { attention, feedForward } = config.layers[layer];
  const names = layerNormNames[config.layerNorms];
  const norm = (name: string): TensorSpec => ({
    name: `${prefix}${name}.weight`,
    shape: [config.hiddenSize],
  });
  return [
    norm(names.attentionInput),
    ...attentionTensors(attention, config.hiddenSize, attentionPrefix(layer)),
    ...(names.attentionOutput ? [norm(names.attentionOutput)] : []),
    norm(names.feedForwardInput),
    ...feedForwardTensors(feedForward, config.hiddenSize, prefix),
    ...(names.feedForwardOutput ? [norm(names.feedForwardOutput)] : []),
  ];
}

/** What the RMS norms of a layer are called; those behind attention and feed-forward are absent from most families. */
interface LayerNormNames {
  readonly attentionInput: string;
  readonly attentionOutput?: string;
  readonly feedForwardInput: string;
  readonly feedForwardOutput?: string;
}

/** Hugging Face names by where the norms stand: one of them changes its meaning. */
export const layerNormNames: Readonly<Record<ModelConfig["layerNorms"], LayerNormNames>> = {
  before: { attentionInput: "input_layernorm", feedForwardInput: "post_attention_layernorm" },
  around: {
    attentionInput: "input_layernorm",
    attentionOutput: "post_attention_layernorm",
    feedForwardInput: "pre_feedforward_layernorm",
    feedForwardOutput: "post_feedforward_layernorm",
  },
};

/** The tensors of one attention, grouped (Hugging Face names) or latent (native names, `docs/formats/native.md`). */
export function attentionTensors(
  attention: AttentionConfig,
  hiddenSize: number,
  prefix: string,
): TensorSpec[] {
  const specs: TensorSpec[] = [];
  const projection = (name: string, out: number, input: number, bias: boolean) => {
    if (out === 0) return;
    specs.push({ name: `${prefix}${name}.weight`, shape: [out, input] });
    if (bias) specs.push({ name: `${prefix}${name}.bias`, shape: [out] });
  };
  if (attention.kind === "gqa") {
    const { heads, kvHeads, headDim, inputBias, outputBias } = attention;
    projection("q_proj", heads * headDim, hiddenSize, inputBias);
    projection("k_proj", kvHeads * headDim, hiddenSize, inputBias);
    projection("v_proj", kvHeads * headDim, hiddenSize, inputBias);
    if (attention.headNormEpsilon !== undefined) {
      for (const name of ["q_norm", "k_norm"]) {
        specs.push({ name: `${prefix}${name}.weight`, shape: [headDim] });
      }
    }
    projection("o_proj", hiddenSize, heads * headDim, outputBias);
    return specs;
  }
  const { heads, nopeDim, ropeDim, kvLoraRank, valueDim, qLoraRank, headNorms } = attention;
  const queryRows = headNorms && heads * headNorms.headDim;
  const keyRows = headNorms && headNorms.kvHeads * headNorms.headDim;
  const queryInput = queryRows ?? qLoraRank ?? hiddenSize;
  const norm = (name: string, size: number, epsilon: number | undefined) => {
    if (epsilon !== undefined) specs.push({ name: `${prefix}${name}.weight`, shape: [size] });
  };
  if (qLoraRank !== undefined) {
    projection("q_a_proj", qLoraRank, hiddenSize, attention.queryDownBias ?? false);
    norm("q_a_layernorm", qLoraRank, attention.queryNormEpsilon);
  }
  if (headNorms) {
    projection("q_proj", queryRows!, hiddenSize, headNorms.bias);
    norm("q_norm", headNorms.headDim, headNorms.epsilon);
    projection("k_proj", keyRows!, hiddenSize, headNorms.bias);
    norm("k_norm", headNorms.headDim, headNorms.epsilon);
    projection("kv_a_key_proj", nopeDim > 0 ? kvLoraRank : 0, keyRows!, false);
  } else {
    projection("q_nope_proj", heads * nopeDim, queryInput, attention.queryBias);
  }
  projection("q_rope_proj", heads * ropeDim, queryInput, attention.queryBias);
  projection("kv_a_proj", kvLoraRank, hiddenSize, attention.latentBias);
  projection("k_rope_proj", ropeDim, keyRows ?? hiddenSize, attention.latentBias && !headNorms);
  norm("kv_a_layernorm", kvLoraRank, attention.latentNormEpsilon);
  projection("k_b_proj", attention.keyUpHeads * nopeDim, kvLoraRank, false);
  projection("v_b_proj", attention.valueUpHeads * valueDim, kvLoraRank, false);
  projection("o_proj", hiddenSize, heads * valueDim, attention.outputBias);
  return specs;
}

function feedForwardTensors(
  feedForward: FeedForwardConfig,
  hiddenSize: number,
  prefix: string,
): TensorSpec[] {
  const { intermediateSize: inner } = feedForward;
  if (feedForward.kind === "gated") {
    const shapes = {
      gate_proj: [inner, hiddenSize],
      up_proj: [inner, hiddenSize],
      down_proj: [hiddenSize, inner],
    };
    return Object.entries(shapes).flatMap(([name, shape]) => [
      { name: `${prefix}mlp.${name}.weight`, shape },
      ...(feedForward.bias ? [{ name: `${prefix}mlp.${name}.bias`, shape: [shape[0]] }] : []),
    ]);
  }
  const { deepseek, experts } = feedForward;
  const names = expertNames(deepseek !== undefined);
  const gated = (at: string, size: number): TensorSpec[] => [
    { name: `${at}${names.gate}.weight`, shape: [size, hiddenSize] },
    { name: `${at}${names.up}.weight`, shape: [size, hiddenSize] },
    { name: `${at}${names.down}.weight`, shape: [hiddenSize, size] },
  ];
  const block = `${prefix}${names.block}.`;
  const { choiceBias = false, sharedSize = 0 } = deepseek ?? {};
  return [
    { name: `${block}gate.weight`, shape: [experts, hiddenSize] },
    ...(choiceBias ? [{ name: `${block}${CHOICE_BIAS}`, shape: [experts] }] : []),
    ...Array.from({ length: experts }, (_, expert) =>
      gated(`${block}experts.${expert}.`, inner),
    ).flat(),
    ...(sharedSize > 0 ? gated(`${block}shared_experts.`, sharedSize) : []),
  ];
}

/** DeepSeek's bias for the choice of experts. */
export const CHOICE_BIAS = "gate.e_score_correction_bias";

/** What the parts of a mixture of experts are called, in DeepSeek's and in Mixtral's checkpoints. */
export const expertNames = (deepseek: boolean) =>
  deepseek
    ? { block: "mlp", gate: "gate_proj", up: "up_proj", down: "down_proj" }
    : { block: "block_sparse_moe", gate: "w1", up: "w3", down: "w2" };

/**
 * Compares a checkpoint's headers with what the config asks for, before any weight is read.
 *
 * @param stored the model's tensors in the layout of the checkpoint
 * @throws ModelsError `MissingTensor`, `UnexpectedTensor` (a part this version would silently ignore), `TensorShape`
 */
export function checkTensors(
  config: ModelConfig,
  checkpoint: Checkpoint,
  stored: readonly TensorSpec[] = modelTensors(config),
): void {
  const wanted = new Map(stored.map((spec) => [spec.name, spec]));
  for (const { name, shape } of wanted.values()) {
    const found = checkpoint.tensors.get(name);
    if (!found) {
      throw new ModelsError(
        "MissingTensor",
        `Tensor ${name} [${shape}] is missing from the checkpoint.`,
        {
          tensor: name,
          expected: shape,
        },
      );
    }
    if (found.shape.length !== shape.length || found.shape.some((size, i) => size !== shape[i])) {
      throw new ModelsError(
        "TensorShape",
        `Tensor ${name} in ${found.file} has shape [${found.shape}], the config asks for [${shape}].`,
        { tensor: name, file: found.file, expected: shape, actual: found.shape },
      );
    }
  }
  // A tied head may be stored as well; it is the embedding again.
  const { unused } = families[config.family]!;
  const ignored = (name: string) =>
    derived.test(name) ||
    unused?.test(name) ||
    (config.tiedEmbeddings && name === "lm_head.weight");
  for (const { name, file } of checkpoint.tensors.values()) {
    if (wanted.has(name) || ignored(name)) continue;
    throw new ModelsError(
      "UnexpectedTensor",
      `Tensor ${name} in ${file} has no place in this model; running without it would give wrong results.`,
      { tensor: name, file },
    );
  }
}
