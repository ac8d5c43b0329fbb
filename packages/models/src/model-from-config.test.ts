import { fileURLToPath } from "node:url";
import { folder, memoryFolder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { ModelsError } from "./errors";
import { memoryNeeds } from "./memory-needs";
import { modelFromConfig } from "./model-from-config";
import { openModel, readConfig } from "./open-model";

const golden = (name: string) =>
  folder(fileURLToPath(new URL(`../golden/${name}`, import.meta.url)));

it.each(["llama", "qwen2", "mixtral", "smollm3"])(
  "knows of %s what its weights say",
  async (name) => {
    const files = await openModel(golden(name));
    await files.close();
    const alone = modelFromConfig(golden(name), files.configJson);
    expect(alone.config).toEqual(files.config);
    for (const { name: tensor, shape } of alone.checkpoint.tensors.values()) {
      expect(files.checkpoint.tensors.get(tensor)?.shape, tensor).toEqual(shape);
    }
    expect(memoryNeeds(alone).tensors).toEqual(memoryNeeds(files).tensors);
  },
);

const config = {
  model_type: "llama",
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 10,
};

async function described(more: object) {
  const json = new TextEncoder().encode(JSON.stringify({ ...config, ...more }));
  const source = memoryFolder(new Map([["my.json", json]]));
  return modelFromConfig(source, await readConfig(source, "my.json"), "my.json");
}

it.each([
  [{}, 2, 2],
  [{ torch_dtype: "float32" }, 4, 4],
  [{ dtype: "float16" }, 2, 2],
  [{ torch_dtype: "bfloat16", quantization_config: { quant_method: "fp8" } }, 1, 2],
])("%j: bytes per number of a layer's matrix and of the head", async (more, matrix, head) => {
  const { tensors } = (await described(more)).checkpoint;
  expect(tensors.get("model.layers.0.mlp.up_proj.weight")!.byteLength).toBe(matrix * 16 * 8);
  expect(tensors.get("lm_head.weight")!.byteLength).toBe(head * 10 * 8);
  expect(tensors.get("model.norm.weight")!.byteLength).toBe(head * 8);
});

it("has no weights to read", async () => {
  const { checkpoint, close } = await described({});
  for (const attempt of [
    checkpoint.readBytes("model.norm.weight"),
    checkpoint.read("model.norm.weight", { as: "f32" }),
  ]) {
    const error = await attempt.catch((reason: unknown) => reason);
    expect(ModelsError.isInstance(error) && error.code).toBe("WeightsAbsent");
  }
  await close();
});
