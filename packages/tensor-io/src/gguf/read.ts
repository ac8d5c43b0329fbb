import { closeAll, StoredCheckpoint, type Checkpoint } from "../checkpoint";
import type { OpenOptions } from "../safetensors/read";
import type { ByteSource } from "../source";
import { readGgufHeader, type GgufHeader } from "./header";
import type { GgufNumberType, GgufValue } from "./values";

/** A GGUF file: a checkpoint that also knows its model's settings and vocabulary. */
export interface GgufCheckpoint extends Checkpoint {
  readonly format: "gguf";
  readonly version: 2 | 3;
  /** Every metadata value in the order of the file, for example `llama.block_count` or `tokenizer.ggml.tokens`. */
  readonly values: ReadonlyMap<string, GgufValue>;
  /** The file's types of the values that are one number. */
  readonly numberTypes: ReadonlyMap<string, GgufNumberType>;
}

/**
 * Opens a GGUF file (version 2 or 3, little-endian): reads and checks its header, nothing else. Tensor names and shapes are
 * the file's, shapes in row-major order (`[out, in]`). The checkpoint owns the source and closes it, also when opening fails.
 * @throws TensorIoError the codes that begin with Gguf, InvalidUtf8, ReadFailed
 */
export async function openGguf(
  source: ByteSource,
  options: OpenOptions = {},
): Promise<GgufCheckpoint> {
  try {
    const { tensors, ...header } = await readGgufHeader(source, options.signal);
    const stored = tensors.map(({ offset, ...tensor }) => ({
      info: { ...tensor, file: source.name },
      source,
      offset,
    }));
    const strings = Array.from(header.values).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    );
    return new StoredGguf(header, stored, new Map(strings), source);
  } catch (cause) {
    await closeAll([source]);
    throw cause;
  }
}

class StoredGguf extends StoredCheckpoint implements GgufCheckpoint {
  override readonly format = "gguf";
  readonly version: 2 | 3;
  readonly values: ReadonlyMap<string, GgufValue>;
  readonly numberTypes: ReadonlyMap<string, GgufNumberType>;

  constructor(
    header: Omit<GgufHeader, "tensors">,
    stored: ConstructorParameters<typeof StoredCheckpoint>[1],
    metadata: ReadonlyMap<string, string>,
    source: ByteSource,
  ) {
    super("gguf", stored, metadata, [source]);
    ({ version: this.version, values: this.values, numberTypes: this.numberTypes } = header);
  }
}
