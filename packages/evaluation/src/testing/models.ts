import { readFileSync } from "node:fs";
import { referenceDevice, type Device } from "@transmla/kernels";
import { loadModel, openModel, type Model } from "@transmla/models";
import {
  bytesSource,
  memoryFolder,
  memorySink,
  openSafetensors,
  writeSafetensors,
} from "@transmla/tensor-io";

const llama = "../../../models/golden/llama";

/** The tiny Llama whose logits Hugging Face transformers computed: 96 tokens, 256 positions. */
export async function goldenModel(device: Device = referenceDevice()): Promise<Model> {
  return load(
    JSON.parse(read("config.json").toString()) as object,
    read("model.safetensors"),
    device,
  );
}

/** Its golden prompt, `[24]`, and logits, `[24, 96]`. */
export async function golden(): Promise<{ tokens: Int32Array; logits: Float32Array }> {
  const checkpoint = await openSafetensors(bytesSource(read("golden.safetensors"), "golden"));
  const ids = await checkpoint.readBytes("input_ids");
  return {
    tokens: Int32Array.from(new BigInt64Array(ids.slice().buffer), Number),
    logits: await checkpoint.read("logits", { as: "f32" }),
  };
}

/**
 * A Llama of zero weights but for the output head, so that its logits are the given ones after whatever text. Its
 * embedding is one in every dimension and its last norm leaves that as it is.
 */
export async function constantModel(logits: readonly number[], device?: Device): Promise<Model> {
  const [vocab, hidden, heads, ff] = [logits.length, 8, 2, 4];
  const config = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: vocab,
    hidden_size: hidden,
    num_hidden_layers: 1,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    head_dim: hidden / heads,
    intermediate_size: ff,
    hidden_act: "silu",
    max_position_embeddings: 64,
    rms_norm_eps: 1e-12,
    rope_theta: 10000,
    tie_word_embeddings: false,
  };
  const layer = "model.layers.0";
  const square = matrix(hidden, hidden);
  const tensors = {
    "model.embed_tokens.weight": matrix(vocab, hidden, () => 1),
    "model.norm.weight": vector(hidden, 1),
    "lm_head.weight": matrix(vocab, hidden, (row) => logits[row]! / hidden),
    [`${layer}.input_layernorm.weight`]: vector(hidden, 1),
    [`${layer}.post_attention_layernorm.weight`]: vector(hidden, 1),
    [`${layer}.self_attn.q_proj.weight`]: square,
    [`${layer}.self_attn.k_proj.weight`]: square,
    [`${layer}.self_attn.v_proj.weight`]: square,
    [`${layer}.self_attn.o_proj.weight`]: square,
    [`${layer}.mlp.gate_proj.weight`]: matrix(ff, hidden),
    [`${layer}.mlp.up_proj.weight`]: matrix(ff, hidden),
    [`${layer}.mlp.down_proj.weight`]: matrix(hidden, ff),
  };
  const sink = memorySink("model.safetensors");
  await writeSafetensors(sink, tensors);
  return load(config, sink.bytes(), device);
}

async function load(
  config: object,
  weights: Uint8Array,
  device: Device = referenceDevice(),
): Promise<Model> {
  const files = new Map([
    ["config.json", new TextEncoder().encode(JSON.stringify(config))],
    ["model.safetensors", weights],
  ]);
  return loadModel(await openModel(memoryFolder(files)), device);
}

function matrix(rows: number, columns: number, value: (row: number) => number = () => 0) {
  const data = Float32Array.from({ length: rows * columns }, (_, index) =>
    value(Math.floor(index / columns)),
  );
  return { shape: [rows, columns], data };
}

function vector(length: number, value: number): Float32Array {
  return new Float32Array(length).fill(value);
}

function read(name: string): Buffer {
  return readFileSync(new URL(`${llama}/${name}`, import.meta.url));
}
