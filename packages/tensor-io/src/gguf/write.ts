import type { GgufDType } from "../dtype";
import type { ByteSink } from "../sink";
import { specOf, writeTensors, type TensorData, type WriteTensorsOptions } from "../tensor-writer";
import type { GgufEntry } from "./entries";
import { planGguf } from "./plan";

/**
 * Writes tensors from memory and metadata into one GGUF file (see `planGguf`). A bare Float32Array is a vector.
 * @throws TensorIoError the codes of `planGguf` and `encodeFromF32`, ByteLengthMismatch, WriteFailed
 */
export async function writeGguf(
  sink: ByteSink,
  tensors:
    | ReadonlyMap<string, TensorData<GgufDType>>
    | Readonly<Record<string, TensorData<GgufDType>>>,
  entries: ReadonlyMap<string, GgufEntry>,
  options: WriteTensorsOptions = {},
): Promise<void> {
  const list: [string, TensorData<GgufDType>][] =
    tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  const specs = list.map(([name, tensor]) => specOf(name, tensor));
  await writeTensors(sink, list, () => planGguf(specs, entries), options);
}
