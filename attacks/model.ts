import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { tokenizerGgufEntries } from "@transmla/generation";
import {
  openModel,
  parseConfig,
  planGgufExport,
  modelTensors,
  writeGgufExport,
} from "@transmla/models";
import { modelUrl } from "@transmla/sample-model";
import {
  memoryFolder,
  memorySink,
  parseStrictJson,
  writeSafetensors,
  type JsonObject,
  type TensorData,
} from "@transmla/tensor-io";
import { replaced, utf8, type Files } from "./attack";

/** The settings of the model that the corpus is made from: a llama that loads in milliseconds. */
export const config = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  torch_dtype: "bfloat16",
  vocab_size: 1024,
  hidden_size: 16,
  intermediate_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 4,
  hidden_act: "silu",
  max_position_embeddings: 256,
  rope_theta: 10000,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 0,
};

const sample = (name: "tokenizer.json" | "tokenizer_config.json") =>
  readFileSync(fileURLToPath(modelUrl(name)), "utf8");

export const tokenizerJson = sample("tokenizer.json");
export const tokenizerConfig = sample("tokenizer_config.json");

/** Numbers without structure between -0.5 and 0.5. */
function values(count: number, seed: number): Float32Array {
  let state = seed + 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

/** The weights of the model by name. */
export const weights: Readonly<Record<string, TensorData>> = Object.fromEntries(
  modelTensors(parseConfig(parseStrictJson(JSON.stringify(config)) as JsonObject)).map(
    ({ name, shape }, seed) => {
      const count = shape.reduce((product, size) => product * size, 1);
      return [name, { dtype: "BF16", shape, data: values(count, seed) }];
    },
  ),
);

/** The bytes of a safetensors file. */
export async function safetensors(
  tensors: Readonly<Record<string, TensorData>>,
): Promise<Uint8Array> {
  const sink = memorySink();
  await writeSafetensors(sink, tensors, { metadata: { format: "pt" } });
  return sink.bytes();
}

const small: Files = new Map([
  ["config.json", utf8(JSON.stringify(config))],
  ["tokenizer.json", utf8(tokenizerJson)],
  ["tokenizer_config.json", utf8(tokenizerConfig)],
]);

/** The model in one file. */
export const whole: Files = new Map([...small, ["model.safetensors", await safetensors(weights)]]);

/** What the index of the sharded model says, by tensor. */
export const weightMap: Readonly<Record<string, string>> = Object.fromEntries(
  Object.keys(weights).map((name, i) => [name, `${i % 2 === 0 ? "even" : "odd"}.safetensors`]),
);

/** The tensors of one shard. */
export const inShard = (file: string): Record<string, TensorData> =>
  Object.fromEntries(Object.entries(weights).filter(([name]) => weightMap[name] === file));

export const indexName = "model.safetensors.index.json";

/** The model in two files with an index. */
export const sharded: Files = new Map([
  ...small,
  ["even.safetensors", await safetensors(inShard("even.safetensors"))],
  ["odd.safetensors", await safetensors(inShard("odd.safetensors"))],
  [indexName, utf8(JSON.stringify({ metadata: {}, weight_map: weightMap }))],
]);

async function exported(): Promise<Uint8Array> {
  const files = await openModel(memoryFolder(new Map(whole)));
  const tokenizer = await tokenizerGgufEntries(files.origin, config.vocab_size);
  const sink = memorySink();
  await writeGgufExport(planGgufExport(files, { tokenizer }), sink);
  return sink.bytes();
}

/** The model as one GGUF file. */
export const gguf: Files = new Map([["model.gguf", await exported()]]);

/** The model with another chat template. */
export const withTemplate = (template: string): Files =>
  replaced(whole, {
    "tokenizer_config.json": JSON.stringify({
      ...(JSON.parse(tokenizerConfig) as object),
      chat_template: template,
    }),
  });
