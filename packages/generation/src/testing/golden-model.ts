import { readFileSync } from "node:fs";
import { referenceDevice, type Device } from "@transmla/kernels";
import { loadModel, openModel, type Model } from "@transmla/models";
import { bytesSource, memoryFolder, openSafetensors } from "@transmla/tensor-io";
import { readJson } from "./golden";

const llama = "../../../models/golden/llama";

/** The tiny Llama whose logits Hugging Face transformers computed: 96 tokens, 256 positions, begin and end token 0. */
export async function goldenModel(
  config: Readonly<Record<string, unknown>> = {},
  device: Device = referenceDevice(),
): Promise<Model> {
  const json = { ...(readJson(`${llama}/config.json`) as object), ...config };
  const files = new Map([
    ["config.json", new TextEncoder().encode(JSON.stringify(json))],
    ["model.safetensors", bytes("model.safetensors")],
  ]);
  const opened = await openModel(memoryFolder(files));
  return loadModel(opened, device);
}

/** The golden prompt, `[24]`, and the token that transformers finds most probable after it. */
export async function goldenPrompt(): Promise<{ prompt: Int32Array; next: number }> {
  const golden = await openSafetensors(bytesSource(bytes("golden.safetensors"), "golden"));
  const ids = await golden.readBytes("input_ids");
  const logits = await golden.read("logits", { as: "f32" });
  const last = logits.slice(-96);
  return {
    prompt: Int32Array.from(new BigInt64Array(ids.slice().buffer), Number),
    next: last.indexOf(Math.max(...last)),
  };
}

function bytes(name: string): Uint8Array {
  return readFileSync(new URL(`${llama}/${name}`, import.meta.url));
}
