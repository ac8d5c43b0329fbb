import type { ModelFiles } from "@transmla/models";
import {
  encodeFromF32,
  isSafetensorsDType,
  type Checkpoint,
  type ReadOptions,
  type SafetensorsDType,
  type TensorInfo,
} from "@transmla/tensor-io";
import { normOffset } from "./parameters";
import type { TrainableModel } from "./trainable-model";

/** Element types that trained tensors can be written in; `stored` is that of the original, bfloat16 if it was quantised. */
export type TrainedDType = "stored" | "F32" | "F16" | "BF16";

const bytesPer = { F32: 4, F16: 2, BF16: 2 } as const;

/**
 * The files of a model with what was trained in the place of the original, adapters merged: for `planSafetensorsExport`,
 * `loadModel` and every other reader. What was not trained is read from the original files, byte for byte unless `dtype`
 * asks for another type.
 */
export function trainedFiles(
  files: ModelFiles,
  model: TrainableModel,
  dtype: TrainedDType = "stored",
): ModelFiles {
  return { ...files, checkpoint: new TrainedCheckpoint(files.checkpoint, model, dtype) };
}

class TrainedCheckpoint implements Checkpoint {
  readonly format = "safetensors";
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata = new Map<string, string>();

  constructor(
    private readonly original: Checkpoint,
    private readonly model: TrainableModel,
    wanted: TrainedDType,
  ) {
    const infos = model.parameters.names.map((name): [string, TensorInfo] => {
      const info = original.tensors.get(name)!;
      return [name, model.parameters.isTrained(name) ? withDType(info, wanted) : info];
    });
    this.tensors = new Map(infos);
  }

  async readBytes(name: string, options: ReadOptions = {}): Promise<Uint8Array> {
    if (!this.isTrained(name)) return this.original.readBytes(name, options);
    const values = await this.read(name, { ...options, as: "f32" });
    const { dtype } = this.tensors.get(name)!;
    return encodeFromF32(values, dtype as SafetensorsDType, { tensor: name });
  }

  async read(name: string, options: ReadOptions & { readonly as: "f32" }): Promise<Float32Array> {
    if (!this.isTrained(name)) return this.original.read(name, options);
    options.signal?.throwIfAborted();
    const { config, parameters } = this.model;
    const offset = normOffset(name, config.normOffset);
    const values = await parameters.read(name);
    if (offset !== 0) for (let i = 0; i < values.length; i++) values[i] = values[i]! - offset;
    if (!options.rows) return values;
    const columns = parameters.get(name).shape[1];
    const rowSize = this.tensors.get(name)!.shape.length === 1 ? 1 : columns;
    return values.slice(options.rows[0] * rowSize, options.rows[1] * rowSize);
  }

  /** The original files belong to whoever opened them. */
  async close(): Promise<void> {}

  private isTrained(name: string): boolean {
    return this.tensors.has(name) && this.model.parameters.isTrained(name);
  }
}

function withDType(info: TensorInfo, wanted: TrainedDType): TensorInfo {
  const { dtype: stored, shape } = info;
  const float = stored === "F32" || stored === "F16" ? stored : "BF16";
  const dtype = wanted === "stored" && isSafetensorsDType(stored) ? float : wanted;
  const chosen = dtype === "stored" ? "BF16" : dtype;
  const count = shape.reduce((product, size) => product * size, 1);
  return { ...info, dtype: chosen, byteLength: count * bytesPer[chosen] };
}
