import { parseConfig, type LatentAttentionConfig, type ModelConfig } from "@transmla/models";
import { parseStrictJson } from "@transmla/tensor-io";

/** Sizes of models that measurements were published of, as their own configs give them. */
const sizes = {
  "llama-2-7b": {
    model_type: "llama",
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    vocab_size: 32000,
  },
  "llama-3-8b": {
    model_type: "llama",
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 128256,
  },
  "smollm2-135m": {
    model_type: "llama",
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: 49152,
    tie_word_embeddings: true,
  },
  "llama-3.1-405b": {
    model_type: "llama",
    hidden_size: 16384,
    intermediate_size: 53248,
    num_hidden_layers: 126,
    num_attention_heads: 128,
    num_key_value_heads: 8,
    vocab_size: 128256,
  },
  "qwen2.5-72b": {
    model_type: "qwen2",
    hidden_size: 8192,
    intermediate_size: 29568,
    num_hidden_layers: 80,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    vocab_size: 152064,
  },
  "deepseek-67b": {
    model_type: "llama",
    hidden_size: 8192,
    intermediate_size: 22016,
    num_hidden_layers: 95,
    num_attention_heads: 64,
    num_key_value_heads: 8,
    vocab_size: 102400,
  },
  "deepseek-v2": {
    model_type: "deepseek_v2",
    hidden_size: 5120,
    intermediate_size: 12288,
    moe_intermediate_size: 1536,
    num_hidden_layers: 60,
    num_attention_heads: 128,
    vocab_size: 102400,
    q_lora_rank: 1536,
    kv_lora_rank: 512,
    qk_nope_head_dim: 128,
    qk_rope_head_dim: 64,
    v_head_dim: 128,
    n_routed_experts: 160,
    n_shared_experts: 2,
    num_experts_per_tok: 6,
    first_k_dense_replace: 1,
    moe_layer_freq: 1,
    n_group: 8,
    topk_group: 3,
    topk_method: "group_limited_greedy",
    routed_scaling_factor: 16,
    norm_topk_prob: false,
  },
  "deepseek-v3": {
    model_type: "deepseek_v3",
    hidden_size: 7168,
    intermediate_size: 18432,
    moe_intermediate_size: 2048,
    num_hidden_layers: 61,
    num_attention_heads: 128,
    vocab_size: 129280,
    q_lora_rank: 1536,
    kv_lora_rank: 512,
    qk_nope_head_dim: 128,
    qk_rope_head_dim: 64,
    v_head_dim: 128,
    n_routed_experts: 256,
    n_shared_experts: 1,
    num_experts_per_tok: 8,
    first_k_dense_replace: 3,
    n_group: 8,
    topk_group: 4,
    routed_scaling_factor: 2.5,
    norm_topk_prob: true,
  },
  "kimi-k2": {
    model_type: "deepseek_v3",
    hidden_size: 7168,
    intermediate_size: 18432,
    moe_intermediate_size: 2048,
    num_hidden_layers: 61,
    num_attention_heads: 64,
    vocab_size: 163840,
    q_lora_rank: 1536,
    kv_lora_rank: 512,
    qk_nope_head_dim: 128,
    qk_rope_head_dim: 64,
    v_head_dim: 128,
    n_routed_experts: 384,
    n_shared_experts: 1,
    num_experts_per_tok: 8,
    first_k_dense_replace: 1,
    n_group: 1,
    topk_group: 1,
    routed_scaling_factor: 2.827,
    norm_topk_prob: true,
  },
  // Attention only: the feed-forward of PaLM is another.
  "palm-540b": {
    model_type: "llama",
    hidden_size: 18432,
    intermediate_size: 73728,
    num_hidden_layers: 118,
    num_attention_heads: 48,
    head_dim: 256,
    num_key_value_heads: 1,
    vocab_size: 256000,
  },
} as const;

/** A model's config. */
export function publishedModel(name: keyof typeof sizes): ModelConfig {
  return parseConfig(parsed(sizes[name]), name);
}

function parsed(value: object) {
  const json = parseStrictJson(new TextEncoder().encode(JSON.stringify(value)));
  if (json instanceof Map) return json;
  throw new TypeError("an object is an object");
}

/** The model with grouped attention of other sizes, in every layer. */
export function withGroups(config: ModelConfig, kvHeads: number, headDim: number): ModelConfig {
  const layers = config.layers.map((layer) => {
    const { heads, frequencies, scale, outputBias } = layer.attention;
    const base = { heads, frequencies, scale, outputBias, inputBias: false };
    return { ...layer, attention: { ...base, kind: "gqa" as const, kvHeads, headDim } };
  });
  return { ...config, layers };
}

/** The model converted to the latent attention of the reference implementation: 512 and 64 rotated, an up-projection per head. */
export function converted(config: ModelConfig, kvLoraRank = 512, ropeDim = 64): ModelConfig {
  const layers = config.layers.map((layer) => {
    if (layer.attention.kind !== "gqa") throw new TypeError("already latent");
    const { heads, headDim, frequencies, scale, outputBias } = layer.attention;
    const attention: LatentAttentionConfig = {
      kind: "mla",
      heads,
      frequencies: frequencies.slice(0, ropeDim / 2),
      scale,
      outputBias,
      kvLoraRank,
      ropeDim,
      nopeDim: headDim,
      valueDim: headDim,
      keyUpHeads: heads,
      valueUpHeads: heads,
      queryBias: false,
      latentBias: false,
    };
    return { ...layer, attention };
  });
  return { ...config, layers };
}
