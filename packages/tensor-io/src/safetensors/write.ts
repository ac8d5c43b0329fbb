import type { ByteSink } from "../sink";
import { specOf, writeTensors, type TensorData, type WriteTensorsOptions } from "../tensor-writer";
import { planSafetensors } from "./plan";

export interface WriteOptions extends WriteTensorsOptions {
  readonly metadata?: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
}

/**
 * Writes tensors from memory into one file. A bare Float32Array is a vector.
 * @throws TensorIoError the codes of `planSafetensors` and `encodeFromF32`, ByteLengthMismatch, WriteFailed
 */
export async function writeSafetensors(
  sink: ByteSink,
  tensors: ReadonlyMap<string, TensorData> | Readonly<Record<string, TensorData>>,
  options: WriteOptions = {},
): Promise<void> {
  const entries: [string, TensorData][] =
    tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const specs = entries.map(([name, tensor]) => specOf(name, tensor));
  await writeTensors(sink, entries, () => planSafetensors(specs, options.metadata), options);
}
