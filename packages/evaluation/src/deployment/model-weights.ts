import { modelTensors, type ModelConfig, type TensorSpec } from "@transmla/models";
import type { Work } from "../roofline";

/** A model as far as a plan needs it: no weight is read. */
export interface PlannedModel {
  readonly config: ModelConfig;
  /** Bytes that a tensor takes in memory. */
  readonly tensorBytes: (tensor: TensorSpec) => number;
}

/** The weights of a model, summed up. */
export interface ModelWeights {
  /** All of them. */
  readonly bytes: number;
  /** Those of the attention. */
  readonly attentionBytes: number;
  /**
   * What a step of `tokens` tokens reads and computes: every matrix once, of the embedding table a row per token, of experts those
   * that at least one token is expected to choose. The latent's up-projections are read here; their arithmetic depends on the way.
   */
  step(tokens: number): Work;
}

/** Matrices that a step reads alike. */
interface Share {
  bytes: number;
  numbers: number;
}

/** Experts of one layer, and those that one token chooses. */
interface Experts extends Share {
  readonly chosen: number;
}

const UP_PROJECTION = /\.self_attn\.[kv]_b_proj\./;
const EXPERT = /^model\.layers\.(\d+)\..*\.experts\./;

/** Sums the tensors of a model. */
export function modelWeights({ config, tensorBytes }: PlannedModel): ModelWeights {
  const always: Share = { bytes: 0, numbers: 0 };
  const experts = new Map<string, Experts>();
  let bytes = 0;
  let attentionBytes = 0;
  for (const tensor of modelTensors(config)) {
    const { name, shape } = tensor;
    const size = tensorBytes(tensor);
    bytes += size;
    if (name.includes(".self_attn.")) attentionBytes += size;
    if (name === "model.embed_tokens.weight" && !config.tiedEmbeddings) continue;
    const layer = EXPERT.exec(name)?.[1];
    const share = layer === undefined ? always : expertsOf(config, layer, experts);
    share.bytes += size;
    if (shape.length === 2 && !UP_PROJECTION.test(name)) share.numbers += shape[0]! * shape[1]!;
  }
  return {
    bytes,
    attentionBytes,
    step: (tokens) => stepWork(always, [...experts.values()], tokens),
  };
}

function expertsOf(config: ModelConfig, layer: string, all: Map<string, Experts>): Experts {
  const found = all.get(layer);
  if (found) return found;
  const { feedForward } = config.layers[Number(layer)]!;
  const chosen = feedForward.kind === "experts" ? feedForward.topK / feedForward.experts : 1;
  const made = { bytes: 0, numbers: 0, chosen };
  all.set(layer, made);
  return made;
}

function stepWork(always: Share, experts: readonly Experts[], tokens: number): Work {
  let { bytes, numbers } = always;
  for (const share of experts) {
    // Tokens choose as if independently and evenly: an expert is left out by all with (1 - k/E)^tokens.
    bytes += share.bytes * (1 - (1 - share.chosen) ** tokens);
    numbers += share.numbers * share.chosen;
  }
  return { bytes, flops: 2 * tokens * numbers };
}
