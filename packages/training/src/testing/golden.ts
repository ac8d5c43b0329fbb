import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openModel, type ModelFiles } from "@transmla/models";
import { folder } from "@transmla/tensor-io";

const here = new URL("../../golden/", import.meta.url);
const models = new URL("../../../models/golden/", import.meta.url);

/** What PyTorch computed (`tools/golden/training.py`). */
export interface Golden {
  readonly ids: readonly (readonly number[])[];
  readonly settings: {
    readonly rate: number;
    readonly betas: readonly [number, number];
    readonly epsilon: number;
    readonly weightDecay: number;
    readonly clip: number;
  };
  readonly losses: readonly number[];
  readonly norms: readonly number[];
  readonly derivatives: readonly (readonly [tensor: string, index: number, value: number])[];
}

export const goldenNames = [
  "llama",
  "llama-tied",
  "llama-bias",
  "qwen3",
  "mistral-window",
  "gemma2",
  "deepseek-v3",
  "deepseek-v3-q-lora",
] as const;

export function golden(name: string): Golden {
  return JSON.parse(readFileSync(new URL(`${name}.json`, here), "utf8")) as Golden;
}

/** A tiny checkpoint with random weights, opened. */
export function goldenModel(name: string): Promise<ModelFiles> {
  return openModel(folder(fileURLToPath(new URL(`${name}/`, models))));
}
