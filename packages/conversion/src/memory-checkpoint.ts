import {
  openSafetensors,
  bytesSource,
  memorySink,
  writeSafetensors,
  type Checkpoint,
  type SafetensorsDType,
} from "@transmla/tensor-io";

/** A tensor in the bytes in which it will be stored. */
export interface EncodedTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Encoded tensors as a checkpoint, so that a converted layer runs from exactly the weights that are written. */
export async function memoryCheckpoint(tensors: readonly EncodedTensor[]): Promise<Checkpoint> {
  const sink = memorySink("converted layer");
  const entries = tensors.map(
    ({ name, dtype, shape, bytes }) => [name, { dtype, shape, data: bytes }] as const,
  );
  await writeSafetensors(sink, new Map(entries));
  return openSafetensors(bytesSource(sink.bytes(), "converted layer"));
}
