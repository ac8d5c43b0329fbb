import {
  formatJson,
  isSafetensorsDType,
  planShards,
  ShardedWriter,
  type JsonObject,
  type SafetensorsDType,
  type ShardedPlan,
  writeFile,
  type WritableFolder,
} from "@transmla/tensor-io";
import { families } from "../config/families";
import { ModelsError } from "../errors";
import type { ModelFiles } from "../open-model";
import { modelTensors } from "../tensors";
import { encodedPieces } from "./encoding";
import type { ExportProgress } from "./progress";

/** Element type of all weights, or `stored` for what each has where safetensors has it too (else BF16). */
export type SafetensorsWeights = "stored" | "F32" | "F16" | "BF16";

export interface SafetensorsExportOptions {
  /** Default `stored`. */
  readonly weights?: SafetensorsWeights | undefined;
  /** Most bytes of tensors in a file. */
  readonly maxShardBytes?: number | undefined;
}

/** A Hugging Face folder of a model before its weights. */
export interface SafetensorsExportPlan {
  readonly files: ModelFiles;
  readonly tensors: readonly { readonly name: string; readonly dtype: SafetensorsDType }[];
  readonly shards: ShardedPlan;
  readonly configJson: JsonObject;
}

export interface SafetensorsExportTarget extends ExportProgress {
  /** Files that go beside the weights: tokenizer, templates. */
  readonly extraFiles?: ReadonlyMap<string, Uint8Array> | undefined;
  /** Replaces what an interrupted attempt has written already. Default false. */
  readonly overwrite?: boolean | undefined;
}

const torchNames: Readonly<Record<string, string>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

const classNames: Readonly<Record<string, string>> = {
  llama: "LlamaForCausalLM",
  mistral: "MistralForCausalLM",
  mixtral: "MixtralForCausalLM",
  qwen2: "Qwen2ForCausalLM",
  qwen3: "Qwen3ForCausalLM",
};

/**
 * Plans a folder in the Hugging Face layout from headers alone.
 *
 * @throws ModelsError `UnsupportedModel`; TensorIoError of `planShards`
 */
export function planSafetensorsExport(
  files: ModelFiles,
  { weights = "stored", maxShardBytes }: SafetensorsExportOptions = {},
): SafetensorsExportPlan {
  if (families[files.config.family]!.deepseek) {
    throw new ModelsError(
      "UnsupportedModel",
      `A model of the DeepSeek layout (${files.config.family}) is a Hugging Face folder already; it is not written again.`,
      { family: files.config.family },
    );
  }
  const tensors = modelTensors(files.config).map(({ name, shape }) => {
    const { dtype } = files.checkpoint.tensors.get(name)!;
    const stored = isSafetensorsDType(dtype) ? dtype : "BF16";
    return { name, shape, dtype: weights === "stored" ? stored : weights };
  });
  const configJson: JsonObject = new Map(files.configJson);
  const matrix = tensors.find(({ shape }) => shape.length > 1)!;
  configJson.set("torch_dtype", torchNames[matrix.dtype] ?? "float32");
  const className = classNames[files.config.family];
  if (!configJson.has("architectures") && className) configJson.set("architectures", [className]);
  const limit = maxShardBytes === undefined ? {} : { maxShardBytes };
  // Hugging Face transformers looks for the framework's name.
  const shards = planShards(tensors, { ...limit, metadata: { format: "pt" } });
  return { files, tensors, shards, configJson };
}

/** Writes a planned folder; the config is written last, so an interrupted export leaves no folder that loads. */
export async function writeSafetensorsExport(
  { files: { checkpoint }, tensors, shards, configJson }: SafetensorsExportPlan,
  folder: WritableFolder,
  { extraFiles = new Map(), onProgress, signal, overwrite = false }: SafetensorsExportTarget = {},
): Promise<void> {
  const writer = await ShardedWriter.create(folder, shards, { overwrite });
  let done = 0;
  try {
    for (const { name, dtype } of tensors) {
      for await (const piece of encodedPieces(checkpoint, name, dtype, signal)) {
        await writer.write(name, piece);
        done += piece.length;
        onProgress?.({ done, total: shards.totalBytes, unit: "bytes" });
      }
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  for (const [name, bytes] of extraFiles) await writeFile(folder, name, bytes);
  await writeFile(folder, "config.json", new TextEncoder().encode(`${formatJson(configJson)}\n`));
}
