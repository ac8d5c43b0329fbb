import type { Activation, Routing } from "@transmla/kernels";

/** Everything the forward pass needs to know about a model, checked; the weights are described by `modelTensors`. */
export interface ModelConfig {
  /** The family whose table entry describes the model: "llama", "qwen2", … (for converted models, the original's). */
  readonly family: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Positions the model was made for. */
  readonly maxPositions: number;
  readonly normEpsilon: number;
  /** The output head is the embedding table. */
  readonly tiedEmbeddings: boolean;
  /** Factor on the embedded tokens. */
  readonly embeddingFactor: number;
  /** What is added to the stored weights of the RMS norms of layers and model. */
  readonly normOffset: number;
  /** Where a layer's RMS norms stand: before attention and feed-forward, or before and behind both. */
  readonly layerNorms: "before" | "around";
  /** Soft cap of the model's logits. */
  readonly softCap?: number | undefined;
  readonly layers: readonly LayerConfig[];
  readonly bosTokenId?: number | undefined;
  readonly eosTokenIds: readonly number[];
}

export interface LayerConfig {
  readonly attention: AttentionConfig;
  readonly feedForward: FeedForwardConfig;
}

export type AttentionConfig = GroupedAttentionConfig | LatentAttentionConfig;

interface AttentionBase {
  /** Query heads. */
  readonly heads: number;
  /** Rotary frequencies in radians per position, `[ropeDim / 2]`; zeros where a layer knows no positions. */
  readonly frequencies: Float64Array;
  /** Factor on the logits. */
  readonly scale: number;
  /** Sliding window in tokens, the query's own included. */
  readonly window?: number | undefined;
  /** Soft cap of the logits. */
  readonly softCap?: number | undefined;
  /** Bias of the output projection. */
  readonly outputBias: boolean;
}

/** Grouped-query attention (arXiv 2305.13245); multi-head and multi-query attention are its two ends. */
export interface GroupedAttentionConfig extends AttentionBase {
  readonly kind: "gqa";
  readonly kvHeads: number;
  readonly headDim: number;
  /** Biases of the query, key and value projections. */
  readonly inputBias: boolean;
  /** Present where queries and keys pass an RMS norm over `headDim`, shared by all heads, before their rotation (Qwen3). */
  readonly headNormEpsilon?: number | undefined;
}

/** Multi-head latent attention (arXiv 2405.04434), as `LatentAttention` of `@transmla/kernels` computes it. */
export interface LatentAttentionConfig extends AttentionBase {
  readonly kind: "mla";
  readonly kvLoraRank: number;
  readonly ropeDim: number;
  /** Position-free dimensions per head before the key up-projection; 0 when every key keeps its rotation. */
  readonly nopeDim: number;
  readonly valueDim: number;
  /** Distinct key up-projections: 1 … heads. */
  readonly keyUpHeads: number;
  readonly valueUpHeads: number;
  /** Low rank of the query projection; absent when it is dense. */
  readonly qLoraRank?: number | undefined;
  /** Present where an RMS norm follows the first factor of a low-rank query (DeepSeek). */
  readonly queryNormEpsilon?: number | undefined;
  /** Bias of that first factor. */
  readonly queryDownBias?: boolean | undefined;
  /** Present where the latent passes an RMS norm (DeepSeek); what is cached is the normalised latent. */
  readonly latentNormEpsilon?: number | undefined;
  readonly queryBias: boolean;
  /** Bias of the latent and of the rotated key (with `headNorms` of the latent alone). */
  readonly latentBias: boolean;
  /** Present where query and key heads are normalised before anything is made of them, as in the original of a converted model (Qwen3). */
  readonly headNorms?: HeadNorms | undefined;
}

/**
 * Queries and keys of an attention with norms of their heads: `q^_i = norm(W_q x)_i`, `k^_a = norm(W_k x)_a` of `headDim` numbers each.
 * The position-free query of head `i` is `q^_i` itself (`nopeDim` is `headDim`, or 0), its rotated part a map of all `q^`; the rotated
 * key is a map of all `k^`, the latent one of `x` and, where there are position-free keys, of `k^`.
 */
export interface HeadNorms {
  readonly epsilon: number;
  readonly headDim: number;
  readonly kvHeads: number;
  /** Biases of `W_q` and `W_k`. */
  readonly bias: boolean;
}

export type FeedForwardConfig = GatedFeedForwardConfig | ExpertsFeedForwardConfig;

export interface GatedFeedForwardConfig {
  readonly kind: "gated";
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly bias: boolean;
}

export interface ExpertsFeedForwardConfig {
  readonly kind: "experts";
  readonly intermediateSize: number;
  readonly activation: Activation;
  readonly experts: number;
  readonly topK: number;
  /** Present in models of DeepSeek, absent in Mixtral. */
  readonly deepseek?: DeepseekExperts | undefined;
}

/** What DeepSeek's mixture of experts has beyond Mixtral's. */
export interface DeepseekExperts {
  readonly routing: Omit<Routing, "bias">;
  /** Whether the checkpoint has a bias for the choice of experts. */
  readonly choiceBias: boolean;
  /** Inner width of the feed-forward that every token passes beside its experts; 0 where there is none. */
  readonly sharedSize: number;
}

/** Numbers one layer caches per token: `2 * kvHeads * headDim` for GQA, `kvLoraRank + ropeDim` for MLA. */
export function cacheNumbersPerToken(attention: AttentionConfig): number {
  return attention.kind === "gqa"
    ? 2 * attention.kvHeads * attention.headDim
    : attention.kvLoraRank + attention.ropeDim;
}

/** Numbers the whole model caches per token. */
export function kvCacheNumbersPerToken(config: ModelConfig): number {
  return config.layers.reduce((sum, layer) => sum + cacheNumbersPerToken(layer.attention), 0);
}
