import {
  storageBlock,
  type Checkpoint,
  type JsonObject,
  type ModelFolder,
  type TensorDType,
  type TensorInfo,
} from "@transmla/tensor-io";
import { Fields } from "./config/fields";
import { parseConfig } from "./config/parse-config";
import { ModelsError } from "./errors";
import type { ModelFiles } from "./open-model";
import { modelTensors } from "./tensors";

/** Element types by the names that torch has for them. */
const torchTypes: Readonly<Record<string, TensorDType>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
};

/** Of matrices, where a config says that they are quantised so. */
const quantisedTypes: Readonly<Record<string, TensorDType>> = { fp8: "F8_E4M3" };

/**
 * A model in a folder that is known by its config alone, which may have any name: the headers that its weights would have, and no weights. Element types are those the
 * config names (`torch_dtype`, `dtype`; matrices by `quantization_config`), bfloat16 where it names none.
 *
 * @param file Name used in messages.
 * @returns Files whose reads throw `WeightsAbsent`.
 * @throws ModelsError `InvalidConfig`, `UnsupportedModel`
 */
export function modelFromConfig(
  folder: ModelFolder,
  configJson: JsonObject,
  file = "config.json",
): ModelFiles {
  const config = parseConfig(configJson, file);
  const fields = new Fields(configJson, file);
  const named = fields.optionalString("dtype") ?? fields.optionalString("torch_dtype");
  const plain = torchTypes[named ?? ""] ?? "BF16";
  const method = fields.optionalObject("quantization_config")?.optionalString("quant_method");
  const matrix = quantisedTypes[method ?? ""] ?? plain;
  const infos = modelTensors(config).map(({ name, shape }): TensorInfo => {
    // Embedding and head stay as they are.
    const inLayer = name.startsWith("model.layers.") && shape.length === 2;
    const dtype = inLayer ? matrix : plain;
    const numbers = shape.reduce((product, size) => product * size, 1);
    const block = storageBlock(dtype);
    const byteLength = (numbers / block.elements) * block.bytes;
    return { name, dtype, shape, byteLength, file };
  });
  const checkpoint = new AbsentCheckpoint(new Map(infos.map((info) => [info.name, info])), file);
  const origin = { folder };
  return { config, configJson, checkpoint, origin, close: () => checkpoint.close() };
}

/** Headers without weights. */
class AbsentCheckpoint implements Checkpoint {
  readonly format = "safetensors";
  readonly metadata = new Map<string, string>();

  constructor(
    readonly tensors: ReadonlyMap<string, TensorInfo>,
    private readonly file: string,
  ) {}

  async readBytes(name: string): Promise<Uint8Array> {
    throw this.absent(name);
  }

  async read(name: string): Promise<Float32Array> {
    throw this.absent(name);
  }

  async close(): Promise<void> {}

  private absent(tensor: string): ModelsError {
    return new ModelsError(
      "WeightsAbsent",
      `${tensor} cannot be read: of this model only ${this.file} is there.`,
      { tensor, file: this.file },
    );
  }
}
