import { closeAll, type Checkpoint } from "./checkpoint";
import { TensorIoError } from "./errors";
import type { ModelFolder } from "./folder";
import { openGguf, type GgufCheckpoint } from "./gguf/read";
import { openSafetensors, type OpenOptions } from "./safetensors/read";
import { indexFileName, openSafetensorsFolder, singleFileName } from "./safetensors/sharded";
import type { ByteSource } from "./source";

/**
 * Opens whatever is there. A folder: `model.safetensors`, its shards, or else the only `.gguf` file. A file: GGUF or safetensors
 * by its first bytes, whatever its name is.
 * @throws TensorIoError NoCheckpoint, UnknownFormat and the codes of `openSafetensorsFolder`, `openSafetensors`, `openGguf`
 */
export async function openCheckpoint(
  from: ModelFolder | ByteSource,
  options: OpenOptions = {},
): Promise<Checkpoint> {
  if ("open" in from) return openFolder(from, options);
  const source = from;
  const file = source.name;
  let prefix: Uint8Array;
  try {
    prefix = await source.read(0, Math.min(9, source.size), options.signal);
  } catch (cause) {
    await closeAll([source]);
    throw cause;
  }
  if (String.fromCharCode(...prefix.subarray(0, 4)) === "GGUF") return openGguf(source, options);
  // A broken safetensors file gets the precise error of its header.
  if (prefix[8] === 0x7b || file.endsWith(".safetensors")) return openSafetensors(source, options);
  if (file.endsWith(".gguf")) return openGguf(source, options);
  await closeAll([source]);
  throw new TensorIoError(
    "UnknownFormat",
    `${file}: neither safetensors nor GGUF; convert PyTorch .bin files to safetensors first`,
    { file },
  );
}

/** True when a checkpoint came from a GGUF file. */
export function isGguf(checkpoint: Checkpoint): checkpoint is GgufCheckpoint {
  return checkpoint.format === "gguf";
}

async function openFolder(folder: ModelFolder, options: OpenOptions): Promise<Checkpoint> {
  const names = await folder.list();
  if (names.includes(singleFileName) || names.includes(indexFileName)) {
    return openSafetensorsFolder(folder, options);
  }
  const gguf = names.filter((name) => name.endsWith(".gguf"));
  if (gguf.length === 1) return openGguf(await folder.open(gguf[0]), options);
  const wanted = `${singleFileName}, ${indexFileName} or one .gguf file`;
  throw new TensorIoError(
    "NoCheckpoint",
    gguf.length === 0
      ? `${folder.name}: there is no ${wanted}`
      : `${folder.name}: there are ${gguf.length} GGUF files (${gguf.join(", ")}); open one of them`,
    { folder: folder.name, gguf },
  );
}
