import { closeAll, StoredCheckpoint, type Checkpoint, type StoredTensor } from "../checkpoint";
import type { ByteSource } from "../source";
import { headerLength, lengthBytes, parseHeader, type SafetensorsHeader } from "./header";

/** How opening is stopped. */
export interface OpenOptions {
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens one safetensors file: reads and checks its header, nothing else. The checkpoint owns the source and closes it, also
 * when opening fails.
 * @throws TensorIoError the codes of the header (HeaderTooSmall to MetadataIncompleteBuffer), ReadFailed
 */
export async function openSafetensors(
  source: ByteSource,
  options: OpenOptions = {},
): Promise<Checkpoint> {
  try {
    const header = await readHeader(source, options.signal);
    const stored = storedTensors(header, source);
    return new StoredCheckpoint("safetensors", stored, header.metadata, [source]);
  } catch (cause) {
    await closeAll([source]);
    throw cause;
  }
}

/** Reads and checks the header of a source. */
export async function readHeader(
  source: ByteSource,
  signal: AbortSignal | undefined,
): Promise<SafetensorsHeader> {
  const prefix = await source.read(0, Math.min(lengthBytes, source.size), signal);
  const length = headerLength(prefix, source.size, source.name);
  const header = await source.read(lengthBytes, length, signal);
  return parseHeader(header, source.size, source.name);
}

/** The tensors of a header with the source that has them. */
export function storedTensors(header: SafetensorsHeader, source: ByteSource): StoredTensor[] {
  return header.tensors.map(({ name, dtype, shape, begin, end }) => ({
    info: { name, dtype, shape, byteLength: end - begin, file: source.name },
    source,
    offset: begin,
  }));
}
