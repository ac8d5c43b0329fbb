import {
  openGguf,
  openSafetensorsFolder,
  parseStrictJson,
  type ByteSource,
  type Checkpoint,
  type GgufCheckpoint,
  type JsonObject,
  type ModelFolder,
} from "@transmla/tensor-io";
import { families } from "./config/families";
import { Fields } from "./config/fields";
import type { ModelConfig } from "./config/model-config";
import { parseConfig } from "./config/parse-config";
import { deepseekTensors, type DeepseekTensor } from "./deepseek/layout";
import { UnfusedCheckpoint } from "./deepseek/unfused-checkpoint";
import { ModelsError } from "./errors";
import { ggufAsHuggingFace } from "./gguf/hugging-face";
import { checkTensors, modelTensors } from "./tensors";

/** An opened model: headers read and checked, no weight touched yet. */
export interface ModelFiles {
  readonly config: ModelConfig;
  /** The config.json it was read from; for GGUF, the one that says the same. */
  readonly configJson: JsonObject;
  /** Weights under their Hugging Face names (latent attention: native names), in the half-split rotary layout. */
  readonly checkpoint: Checkpoint;
  /** Where tokenizer and templates are: the other files of the folder, or the metadata of the GGUF file. */
  readonly origin: { readonly folder: ModelFolder } | { readonly gguf: GgufCheckpoint };
  close(): Promise<void>;
}

/** Bytes of config.json that are read at most. */
const MAX_CONFIG_BYTES = 16 << 20;

/**
 * Opens a Hugging Face folder or a GGUF file and checks that config and weights belong together.
 *
 * @throws ModelsError `MissingConfig`, `InvalidConfig`, `UnsupportedModel`, `MissingTensor`, `UnexpectedTensor`, `TensorShape`;
 *   TensorIoError for broken files
 */
export async function openModel(source: ModelFolder | ByteSource): Promise<ModelFiles> {
  return "read" in source ? openGgufModel(source) : openFolderModel(source);
}

async function openFolderModel(folder: ModelFolder): Promise<ModelFiles> {
  const configJson = await readConfig(folder);
  const config = parseConfig(configJson);
  const checkpoint = await openSafetensorsFolder(folder);
  return checked(checkpoint, () => {
    const fused = storedFused(config, configJson);
    checkTensors(config, checkpoint, fused);
    return {
      config,
      configJson,
      checkpoint: fused ? new UnfusedCheckpoint(checkpoint, fused) : checkpoint,
      origin: { folder },
      close: () => checkpoint.close(),
    };
  });
}

/** The tensors of a folder in the DeepSeek layout; undefined where tensors are stored as we name them. */
function storedFused(config: ModelConfig, configJson: JsonObject): DeepseekTensor[] | undefined {
  const { deepseek } = families[config.family]!;
  const { attention } = config.layers[0];
  if (!deepseek || attention.kind !== "mla") return undefined;
  const interleaved = deepseek.interleaved(new Fields(configJson, "config.json"));
  return deepseekTensors(modelTensors(config), attention, interleaved);
}

async function openGgufModel(source: ByteSource): Promise<ModelFiles> {
  const gguf = await openGguf(source);
  return checked(gguf, () => {
    const { configJson, checkpoint } = ggufAsHuggingFace(gguf, source.name);
    const config = parseConfig(configJson, source.name);
    checkTensors(config, checkpoint);
    return { config, configJson, checkpoint, origin: { gguf }, close: () => gguf.close() };
  });
}

/** Runs the checks of an opened checkpoint and closes it if one refuses. */
async function checked(checkpoint: Checkpoint, check: () => ModelFiles): Promise<ModelFiles> {
  try {
    return check();
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/**
 * The config of a folder.
 *
 * @throws ModelsError `MissingConfig`, `InvalidConfig`; TensorIoError for what is no JSON
 */
export async function readConfig(folder: ModelFolder, name = "config.json"): Promise<JsonObject> {
  if (!(await folder.has(name))) {
    throw new ModelsError("MissingConfig", `${folder.name} has no ${name}; is it a model folder?`, {
      folder: folder.name,
    });
  }
  const file = await folder.open(name);
  try {
    if (file.size > MAX_CONFIG_BYTES) {
      throw new ModelsError(
        "InvalidConfig",
        `${name} has ${file.size} bytes; no config is that large.`,
      );
    }
    const json = parseStrictJson(await file.read(0, file.size), { file: name });
    if (json instanceof Map) return json;
    throw new ModelsError("InvalidConfig", `${name} must hold an object.`);
  } finally {
    await file.close();
  }
}
