import { parseStrictJson, type JsonObject } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { ModelsError } from "../errors";
import { kvCacheNumbersPerToken } from "./model-config";
import { parseConfig } from "./parse-config";

const llama = {
  model_type: "llama",
  vocab_size: 96,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 3,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
};

const deepseek = {
  ...llama,
  model_type: "deepseek_v3",
  kv_lora_rank: 12,
  qk_rope_head_dim: 4,
  qk_nope_head_dim: 8,
  v_head_dim: 8,
  q_lora_rank: null,
  attention_bias: true,
};

/** The last layer of three with eight experts in four groups. */
const sparse = {
  first_k_dense_replace: 2,
  moe_intermediate_size: 16,
  n_routed_experts: 8,
  n_shared_experts: 2,
  num_experts_per_tok: 3,
  n_group: 4,
  topk_group: 2,
};
const sparseV2 = { ...sparse, model_type: "deepseek_v2" };

const native = {
  ...llama,
  model_type: "transmla",
  num_hidden_layers: 1,
  transmla: {
    version: 1,
    base_model_type: "llama",
    rope_frequencies: [[1, 0.5]],
    layers: [
      {
        kv_lora_rank: 12,
        qk_rope_head_dim: 4,
        qk_nope_head_dim: 8,
        v_head_dim: 8,
        key_up_heads: 2,
        value_up_heads: 4,
        rope_frequencies: 0,
      },
    ],
  },
};

const parse = (json: object) => parseConfig(parseStrictJson(JSON.stringify(json)) as JsonObject);

/** `[code, message]` of the refusal. */
function refusal(json: object): [string, string] {
  try {
    parse(json);
  } catch (error) {
    if (ModelsError.isInstance(error)) return [error.code, error.message];
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("sizes that decide how many things are made", () => {
  it.each([
    ["num_hidden_layers", { ...llama, num_hidden_layers: 2_000_000_000 }],
    ["head_dim", { ...llama, head_dim: 2_000_000_000 }],
    ["num_local_experts", { ...llama, model_type: "mixtral", num_local_experts: 2_000_000_000 }],
    ["n_routed_experts", { ...deepseek, ...sparse, n_routed_experts: 2_000_000_000 }],
    ["qk_rope_head_dim", { ...deepseek, qk_rope_head_dim: 2_000_000_000 }],
  ])("%s is bounded before anything is", (field, config) => {
    const [code, message] = refusal(config);
    expect(code).toBe("InvalidConfig");
    expect(message).toContain(field);
  });

  it("leaves room for the largest models", () => {
    expect(parse({ ...llama, num_hidden_layers: 10_000 }).layers).toHaveLength(10_000);
  });
});

describe("parseConfig", () => {
  it("reads a llama config and fills in what is absent", () => {
    const config = parse(llama);
    expect(config.layers).toHaveLength(3);
    expect(config.layers[0].attention).toMatchObject({
      kind: "gqa",
      heads: 8,
      kvHeads: 2,
      headDim: 8,
      scale: 1 / Math.sqrt(8),
    });
    expect(config.layers[0].attention.frequencies[1]).toBeCloseTo(10000 ** (-2 / 8), 15);
    expect(kvCacheNumbersPerToken(config)).toBe(3 * 2 * 2 * 8);
    expect(config.maxPositions).toBe(2048);
    expect(config.eosTokenIds).toEqual([]);
  });

  it("reads end-of-text ids given as one number or a list", () => {
    expect(parse({ ...llama, eos_token_id: 5 }).eosTokenIds).toEqual([5]);
    expect(parse({ ...llama, eos_token_id: [5, 7], bos_token_id: null }).eosTokenIds).toEqual([
      5, 7,
    ]);
  });

  it("divides frequencies by the factor of linear scaling", () => {
    const plain = parse(llama).layers[0].attention.frequencies;
    const scaled = parse({ ...llama, rope_scaling: { type: "linear", factor: 4 } });
    expect([...scaled.layers[0].attention.frequencies]).toEqual([...plain].map((f) => f / 4));
  });

  it("slides only the layers of qwen2 that its config names", () => {
    const { layers } = parse({
      ...llama,
      model_type: "qwen2",
      use_sliding_window: true,
      sliding_window: 16,
      max_window_layers: 2,
    });
    expect(layers.map(({ attention }) => attention.window)).toEqual([undefined, undefined, 16]);
  });

  it("reads a native config", () => {
    const { attention } = parse(native).layers[0];
    expect(attention).toMatchObject({
      kind: "mla",
      heads: 8,
      kvLoraRank: 12,
      ropeDim: 4,
      keyUpHeads: 2,
      valueUpHeads: 4,
      qLoraRank: undefined,
    });
    expect([...attention.frequencies]).toEqual([1, 0.5]);
  });

  it.each([
    ["vocab_size", 0],
    ["vocab_size", -4],
    ["vocab_size", 1.5],
    ["vocab_size", "96"],
    ["vocab_size", 1e30],
    ["num_hidden_layers", null],
    ["hidden_size", 2 ** 40],
    ["num_key_value_heads", 3],
    ["rms_norm_eps", 0],
    ["tie_word_embeddings", "yes"],
    ["eos_token_id", [1, "2"]],
    ["head_dim", 7],
    ["rope_theta", -1],
  ])("refuses %s = %j and names the field", (field, value) => {
    const [code, message] = refusal({ ...llama, [field]: value });
    expect(code).toBe("InvalidConfig");
    expect(message).toContain(field);
  });

  it("refuses a hidden size that the heads do not divide, unless head_dim says otherwise", () => {
    expect(refusal({ ...llama, hidden_size: 60 })[0]).toBe("InvalidConfig");
    expect(parse({ ...llama, hidden_size: 60, head_dim: 8 }).hiddenSize).toBe(60);
  });

  it.each([
    [{ model_type: "gpt2" }, "gpt2"],
    [{ model_type: "constructor" }, "constructor"],
    [{ hidden_act: "relu6" }, "relu6"],
    [{ rope_scaling: { rope_type: "yarn", factor: 2 } }, "yarn"],
    [{ rope_scaling: { rope_type: "__proto__" } }, "__proto__"],
  ])("refuses %j by name", (change, named) => {
    const [code, message] = refusal({ ...llama, ...change });
    expect(code).toBe("UnsupportedModel");
    expect(message).toContain(named);
  });

  it("reads the latent attention of a DeepSeek config", () => {
    const { layers } = parse(deepseek);
    expect(layers[0].attention).toMatchObject({
      kind: "mla",
      scale: 1 / Math.sqrt(12),
      kvLoraRank: 12,
      keyUpHeads: 8,
      qLoraRank: undefined,
      // Fixed by the model, whatever rms_norm_eps says.
      latentNormEpsilon: 1e-6,
      latentBias: true,
      queryBias: false,
    });
    expect(kvCacheNumbersPerToken(parse(deepseek))).toBe(3 * (12 + 4));
    expect(parse({ ...deepseek, q_lora_rank: 6 }).layers[0].attention).toMatchObject({
      qLoraRank: 6,
      queryNormEpsilon: 1e-6,
      queryDownBias: true,
    });
  });

  it("reads the experts of a DeepSeek config", () => {
    const dense = { kind: "gated", intermediateSize: 128 };
    const experts = { kind: "experts", intermediateSize: 16, experts: 8, topK: 3 };
    const v3 = { ...deepseek, ...sparse };
    expect(parse(v3).layers.map(({ feedForward }) => feedForward)).toMatchObject([
      dense,
      dense,
      {
        ...experts,
        deepseek: {
          routing: { scores: "sigmoid", groups: 4, topGroups: 2, bestOfGroup: 2, scale: 2.5 },
          choiceBias: true,
          sharedSize: 32,
        },
      },
    ]);
    // Groups count only where the method says so.
    const greedy = parse({ ...v3, ...sparseV2, n_shared_experts: null }).layers[2].feedForward;
    expect(greedy).toMatchObject({
      ...experts,
      deepseek: { routing: { scores: "softmax", groups: 1 }, choiceBias: false, sharedSize: 0 },
    });
    const grouped = { ...v3, ...sparseV2, topk_method: "group_limited_greedy" };
    expect(parse(grouped).layers[2].feedForward).toMatchObject({
      deepseek: { routing: { groups: 4, topGroups: 2, bestOfGroup: 1 } },
    });
  });

  it.each([
    [{ first_k_dense_replace: 2 }, "InvalidConfig", "moe_intermediate_size"],
    [{ ...sparse, n_group: 3 }, "InvalidConfig", "n_group"],
    [{ ...sparse, n_group: 8, topk_group: 4 }, "InvalidConfig", "n_group"],
    [{ ...sparse, topk_group: 5 }, "InvalidConfig", "topk_group"],
    [{ ...sparse, num_experts_per_tok: 5 }, "InvalidConfig", "num_experts_per_tok"],
    [{ ...sparse, moe_layer_freq: 2 }, "UnsupportedModel", "moe_layer_freq"],
    [{ ...sparseV2, topk_method: "noaux_tc" }, "UnsupportedModel", "topk_method"],
    [{ ...sparseV2, norm_topk_prob: true }, "UnsupportedModel", "norm_topk_prob"],
    [{ ...sparseV2, mlp_bias: true }, "UnsupportedModel", "mlp_bias"],
    [{ rope_scaling: { rope_type: "yarn", factor: 40 } }, "UnsupportedModel", "yarn"],
    [{ qk_rope_head_dim: 3 }, "InvalidConfig", "qk_rope_head_dim"],
    [{ kv_lora_rank: null }, "InvalidConfig", "kv_lora_rank"],
    [{ q_lora_rank: 0 }, "InvalidConfig", "q_lora_rank"],
    [{ rope_interleave: "yes" }, "InvalidConfig", "rope_interleave"],
  ])("refuses a DeepSeek config with %j", (change, code, named) => {
    const [actual, message] = refusal({ ...deepseek, ...change });
    expect(actual).toBe(code);
    expect(message).toContain(named);
  });

  describe("gemma2", () => {
    const gemma2 = { ...llama, model_type: "gemma2" };
    const attentionOf = (change: object) =>
      parse({ ...gemma2, ...change }).layers.map(({ attention }) => attention);

    it("has the defaults of its class", () => {
      const config = parse(gemma2);
      expect(config).toMatchObject({
        maxPositions: 8192,
        tiedEmbeddings: true,
        embeddingFactor: 8,
        normOffset: 1,
        layerNorms: "around",
        softCap: 30,
      });
      expect(config.layers[0].feedForward).toMatchObject({ activation: "gelu-tanh", bias: false });
      expect(config.layers.map(({ attention }) => attention)).toMatchObject([
        { headDim: 256, scale: 1 / 16, softCap: 50, window: 4096 },
        { window: undefined },
        { window: 4096 },
      ]);
    });

    it("takes caps, scale, windows and activation from the config", () => {
      const caps = { attn_logit_softcapping: null, final_logit_softcapping: 7.5 };
      expect(parse({ ...gemma2, ...caps }).softCap).toBe(7.5);
      expect(attentionOf(caps)[0].softCap).toBeUndefined();
      expect(attentionOf({ query_pre_attn_scalar: 4 })[0].scale).toBe(0.5);
      const types = ["full_attention", "sliding_attention", "full_attention"];
      const listed = { layer_types: types, sliding_window: 16 };
      expect(attentionOf(listed).map(({ window }) => window)).toEqual([undefined, 16, undefined]);
      const { feedForward } = parse({ ...gemma2, hidden_activation: "silu" }).layers[0];
      expect(feedForward).toMatchObject({ activation: "silu" });
    });

    it.each([
      [{ attn_logit_softcapping: 0 }, "attn_logit_softcapping"],
      [{ final_logit_softcapping: "30" }, "final_logit_softcapping"],
      [{ query_pre_attn_scalar: -1 }, "query_pre_attn_scalar"],
      [{ layer_types: ["full_attention"] }, "layer_types[1]"],
      [
        { layer_types: ["chunked_attention", "full_attention", "full_attention"] },
        "layer_types[0]",
      ],
      [{ hidden_activation: "relu6" }, "hidden_activation"],
    ])("refuses %j", (change, field) => {
      expect(refusal({ ...gemma2, ...change })[1]).toContain(field);
    });
  });

  it("refuses llama3 scaling whose bands are out of order", () => {
    const scaling = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 4,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    };
    expect(refusal({ ...llama, rope_scaling: scaling })[0]).toBe("InvalidConfig");
    expect(() =>
      parse({ ...llama, rope_scaling: { ...scaling, low_freq_factor: 1 } }),
    ).not.toThrow();
  });

  it.each([
    [{ version: 2 }, "UnsupportedModel"],
    [{ layers: [] }, "InvalidConfig"],
    [{ layers: [{ ...native.transmla.layers[0], key_up_heads: 3 }] }, "InvalidConfig"],
    [{ layers: [{ ...native.transmla.layers[0], rope_frequencies: 1 }] }, "InvalidConfig"],
    [{ layers: [{ ...native.transmla.layers[0], kv_lora_rank: 0 }] }, "InvalidConfig"],
    [{ rope_frequencies: [[1]] }, "InvalidConfig"],
    [{ rope_frequencies: [[1, "2"]] }, "InvalidConfig"],
  ])("refuses a native section with %j", (change, code) => {
    expect(refusal({ ...native, transmla: { ...native.transmla, ...change } })[0]).toBe(code);
  });

  describe("a native config of a family with norms of heads", () => {
    const latent = (change: object) => ({
      ...native,
      head_dim: 8,
      transmla: {
        ...native.transmla,
        base_model_type: "qwen3",
        layers: [{ ...native.transmla.layers[0], key_up_heads: 8, ...change }],
      },
    });

    it("keeps them", () => {
      expect(parse(latent({})).layers[0].attention).toMatchObject({
        kind: "mla",
        headNorms: { epsilon: 1e-5, headDim: 8, kvHeads: 2, bias: false },
      });
      expect(() => parse(latent({ qk_nope_head_dim: 0 }))).not.toThrow();
    });

    it.each([{ qk_nope_head_dim: 4 }, { q_lora_rank: 16 }])("refuses %j", (change) => {
      const [code, message] = refusal(latent(change));
      expect(code).toBe("InvalidConfig");
      expect(message).toContain(Object.keys(change)[0]);
    });
  });
});
