import { closeAll, StoredCheckpoint, type Checkpoint } from "../checkpoint";
import { reasonOf, TensorIoError, type TensorIoErrorCode } from "../errors";
import { checkFileName, type ModelFolder } from "../folder";
import { JsonCursor } from "../json/json-cursor";
import { parseStrictJson } from "../json/strict-json";
import type { ByteSource } from "../source";
import type { SafetensorsHeader } from "./header";
import { openSafetensors, readHeader, storedTensors, type OpenOptions } from "./read";

export const singleFileName = "model.safetensors";
export const indexFileName = "model.safetensors.index.json";

/** The index of the largest public models is a few megabytes. */
const maxIndexBytes = 64_000_000;
/** Differences named in an error; the rest is counted. */
const shownDifferences = 5;

/**
 * Opens the checkpoint of a folder in the Hugging Face layout: `model.safetensors`, or else the shards that
 * `model.safetensors.index.json` lists. Every header is read and compared with the index; no values are read.
 * @throws TensorIoError NoCheckpoint, InvalidIndex, InvalidFileName, MissingShard, TensorInWrongShard, TensorInTwoShards,
 *   TensorNotInShard, TensorNotInIndex, OutsideFolder, NotAFile and the codes of `openSafetensors`
 */
export async function openSafetensorsFolder(
  folder: ModelFolder,
  options: OpenOptions = {},
): Promise<Checkpoint> {
  if (await folder.has(singleFileName)) {
    return openSafetensors(await folder.open(singleFileName), options);
  }
  if (await folder.has(indexFileName)) return openShards(folder, options.signal);
  throw new TensorIoError(
    "NoCheckpoint",
    `${folder.name}: there is neither ${singleFileName} nor ${indexFileName}`,
    { folder: folder.name },
  );
}

async function openShards(
  folder: ModelFolder,
  signal: AbortSignal | undefined,
): Promise<Checkpoint> {
  const weightMap = await readIndex(folder, signal);
  const files = [...new Set(weightMap.values())].toSorted();
  for (const file of files) checkFileName(file, folder.name);
  const present = new Set(await folder.list());
  const missing = files.filter((file) => !present.has(file));
  if (missing.length > 0) {
    const shown = missing.slice(0, shownDifferences).join(", ");
    throw new TensorIoError(
      "MissingShard",
      `${folder.name}: ${missing.length} of ${files.length} shards are missing (${shown}); download them`,
      { folder: folder.name, missing },
    );
  }
  const sources: ByteSource[] = [];
  try {
    const headers: SafetensorsHeader[] = [];
    for (const file of files) {
      const source = await folder.open(file);
      sources.push(source);
      headers.push(await readHeader(source, signal));
    }
    compareWithIndex(folder.name, weightMap, files, headers);
    const stored = headers.flatMap((header, i) => storedTensors(header, sources[i]));
    // Of a key that several shards have, the first shard's value.
    const metadata = new Map(headers.toReversed().flatMap(({ metadata: own }) => Array.from(own)));
    return new StoredCheckpoint("safetensors", stored, metadata, sources);
  } catch (cause) {
    await closeAll(sources);
    throw cause;
  }
}

/** Tensor name to shard name. */
async function readIndex(
  folder: ModelFolder,
  signal: AbortSignal | undefined,
): Promise<Map<string, string>> {
  const source = await folder.open(indexFileName);
  try {
    if (source.size > maxIndexBytes) {
      throw new TensorIoError(
        "InvalidIndex",
        `${folder.name}: ${indexFileName} has ${source.size} bytes, more than ${maxIndexBytes}`,
        { folder: folder.name, file: indexFileName, size: source.size },
      );
    }
    const bytes = await source.read(0, source.size, signal);
    const root = parseStrictJson(bytes, { file: indexFileName, maxLength: maxIndexBytes });
    const weightMap = new JsonCursor(root, indexFileName).get("weight_map");
    return new Map(weightMap.entries().map(([name, shard]) => [name, shard.string()]));
  } catch (cause) {
    if (!TensorIoError.isInstance(cause) || !/^(Json|InvalidUtf8)/.test(cause.code)) throw cause;
    throw new TensorIoError(
      "InvalidIndex",
      `${folder.name}: ${reasonOf(cause)}`,
      { folder: folder.name, file: indexFileName },
      { cause },
    );
  } finally {
    await source.close();
  }
}

/** Every tensor must be in exactly the shard that the index names; all differences are reported together. */
function compareWithIndex(
  folder: string,
  weightMap: ReadonlyMap<string, string>,
  files: readonly string[],
  headers: readonly SafetensorsHeader[],
): void {
  const differences: { code: TensorIoErrorCode; text: string }[] = [];
  const foundIn = new Map<string, string>();
  headers.forEach(({ tensors }, i) => {
    const file = files[i];
    for (const { name } of tensors) {
      const before = foundIn.get(name);
      const listed = weightMap.get(name);
      if (before !== undefined) {
        differences.push({ code: "TensorInTwoShards", text: `${name} in ${before} and ${file}` });
      } else if (listed === undefined) {
        differences.push({ code: "TensorNotInIndex", text: `${name} of ${file} is not listed` });
      } else if (listed !== file) {
        const text = `${name} listed in ${listed}, found in ${file}`;
        differences.push({ code: "TensorInWrongShard", text });
      }
      foundIn.set(name, file);
    }
  });
  for (const [name, file] of weightMap) {
    if (!foundIn.has(name)) {
      differences.push({ code: "TensorNotInShard", text: `${name} is not in ${file}` });
    }
  }
  if (differences.length === 0) return;
  // A copy in a second shard also shows as a wrong shard: the duplicate is the cause.
  const first = differences.find(({ code }) => code === "TensorInTwoShards") ?? differences[0];
  const texts = differences.map(({ text }) => text);
  const more =
    texts.length > shownDifferences ? `, and ${texts.length - shownDifferences} more` : "";
  throw new TensorIoError(
    first.code,
    `${folder}: shards and index disagree: ${texts.slice(0, shownDifferences).join("; ")}${more}`,
    { folder, differences: texts },
  );
}
