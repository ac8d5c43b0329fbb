/** What llama.cpp calls things that Hugging Face configs and checkpoints have under other names. */

export interface GgufArchitecture {
  /** The family whose config describes it. */
  readonly modelType: string;
  /** llama.cpp keeps the query and key rows of some architectures in the interleaved rotary layout. */
  readonly interleavedRope: boolean;
}

/** GGUF architectures (`general.architecture`) that are one of our families. */
export const architectures: Readonly<Record<string, GgufArchitecture>> = {
  llama: { modelType: "llama", interleavedRope: true },
  qwen2: { modelType: "qwen2", interleavedRope: false },
  qwen3: { modelType: "qwen3", interleavedRope: false },
};

/** The architecture in which a family is written; llama.cpp has none of their own for some. */
export const architectureOfFamily: Readonly<Record<string, string>> = {
  llama: "llama",
  mistral: "llama",
  qwen2: "qwen2",
  qwen3: "qwen3",
};

/** Hugging Face names of the tensors of a layer, by their GGUF names. */
const layerNames: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  attn_q_a: "self_attn.q_a_proj",
  attn_q_a_norm: "self_attn.q_a_layernorm",
  attn_q_b: "self_attn.q_b_proj",
  attn_kv_a_mqa: "self_attn.kv_a_proj_with_mqa",
  attn_kv_a_norm: "self_attn.kv_a_layernorm",
  attn_k_b: "self_attn.k_b_proj",
  attn_v_b: "self_attn.v_b_proj",
  attn_output: "self_attn.o_proj",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
  ffn_gate_inp: "mlp.gate",
  ffn_gate_exps: "mlp.experts.gate_proj",
  ffn_up_exps: "mlp.experts.up_proj",
  ffn_down_exps: "mlp.experts.down_proj",
  ffn_gate_shexp: "mlp.shared_experts.gate_proj",
  ffn_up_shexp: "mlp.shared_experts.up_proj",
  ffn_down_shexp: "mlp.shared_experts.down_proj",
};

const modelNames: Readonly<Record<string, string>> = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
};

const inverted = (names: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(names).map(([gguf, huggingFace]) => [huggingFace, gguf]));

const ggufLayerNames = inverted(layerNames);
const ggufModelNames = inverted(modelNames);

/** Config fields by the metadata key that carries them, after the architecture's prefix. */
export const configKeys: Readonly<Record<string, string>> = {
  context_length: "max_position_embeddings",
  embedding_length: "hidden_size",
  block_count: "num_hidden_layers",
  feed_forward_length: "intermediate_size",
  "attention.head_count": "num_attention_heads",
  "attention.head_count_kv": "num_key_value_heads",
  "attention.layer_norm_rms_epsilon": "rms_norm_eps",
  "attention.key_length": "head_dim",
  "rope.freq_base": "rope_theta",
};

/** The Hugging Face name of a GGUF tensor; a name that means nothing to us stays. */
export function huggingFaceName(name: string): string {
  const [, layer, part, kind] = /^(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)$/.exec(name) ?? [];
  const known = lookUp(layer === undefined ? modelNames : layerNames, part);
  if (known === undefined) return name;
  return layer === undefined ? `${known}.${kind}` : `model.layers.${layer}.${known}.${kind}`;
}

/** The GGUF name of a Hugging Face tensor; undefined where llama.cpp has none. */
export function ggufName(name: string): string | undefined {
  const [, layer, part, kind] = /^(?:model\.layers\.(\d+)\.)?(.+)\.(weight|bias)$/.exec(name) ?? [];
  const known = lookUp(layer === undefined ? ggufModelNames : ggufLayerNames, part);
  if (known === undefined) return undefined;
  return layer === undefined ? `${known}.${kind}` : `blk.${layer}.${known}.${kind}`;
}

function lookUp(names: Readonly<Record<string, string>>, name = ""): string | undefined {
  return Object.hasOwn(names, name) ? names[name] : undefined;
}

/** Which heads the rows of a tensor with a Hugging Face name belong to, if RoPE turns them. */
export function rotatedHeads(
  name: string,
  heads: { readonly query: number; readonly key: number },
): number | undefined {
  const projection = /self_attn\.([qk])_proj\.(weight|bias)$/.exec(name)?.[1];
  if (projection === undefined) return undefined;
  return projection === "q" ? heads.query : heads.key;
}
