import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileSink, planSafetensors, TensorWriter } from "@transmla/tensor-io";
import { toBf16 } from "../random.mjs";
import { modelTensors, tensorNumbers } from "./shape.mjs";

/** Writes a model folder in the Hugging Face layout, matrices in bf16. */
export async function writeSafetensorsModel(shape, folder) {
  await mkdir(folder, { recursive: true });
  const tensors = [...modelTensors(shape)];
  const plan = planSafetensors(
    tensors.map(({ hf, shape: size }) => ({ name: hf, dtype: "BF16", shape: size })),
  );
  const writer = new TensorWriter(await fileSink(join(folder, "model.safetensors")), plan);
  for (const [index, tensor] of tensors.entries()) {
    await writer.write(tensor.hf, new Uint8Array(toBf16(tensorNumbers(tensor, index)).buffer));
  }
  await writer.finish();
  await writeFile(join(folder, "config.json"), JSON.stringify(config(shape), null, 2));
}

function config(shape) {
  return {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: shape.hidden,
    intermediate_size: shape.feedForward,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    vocab_size: shape.vocabulary,
    max_position_embeddings: shape.positions,
    rope_theta: shape.ropeTheta,
    rms_norm_eps: shape.epsilon,
    hidden_act: "silu",
    tie_word_embeddings: true,
    torch_dtype: "bfloat16",
  };
}
