import type { LatentAttentionConfig } from "@transmla/models";
import {
  openSafetensors,
  sha256,
  TensorIoError,
  writeSafetensors,
  type Checkpoint,
  type TensorData,
  type WritableFolder,
} from "@transmla/tensor-io";
import { ConversionError } from "../errors";
import type { ConvertedLayer } from "../methods/method";
import type { LatentSizes } from "../options";
import type { SingleMatrix, WrittenWeights } from "../weights";

/** A layer that an interrupted conversion has finished. */
export interface SavedLayer {
  readonly converted: ConvertedLayer;
  /** See `LayerConverter`. */
  readonly choices: Partial<LatentSizes>;
}

const fileName = (layer: number) => `.transmla-layer-${String(layer).padStart(5, "0")}.safetensors`;
const pattern = /^\.transmla-layer-\d{5}\.safetensors$/;

/**
 * Finished layers of a conversion in float32, one file each beside the output, so that an interrupted conversion goes on with
 * them instead of computing them again. A file that is not whole or not as it was written counts as absent.
 */
export class LayerStore {
  /** @param fingerprint of everything that determines the layers (`conversionFingerprint`) */
  constructor(
    private readonly folder: WritableFolder,
    private readonly fingerprint: string,
  ) {}

  async save(layer: number, { converted, choices }: SavedLayer): Promise<void> {
    const { weights, keptEnergy, outputError } = converted;
    const tensors = tensorsOf(weights);
    const description = JSON.stringify({
      config: configJson(weights.config),
      keptEnergy,
      outputError,
      choices,
    });
    await writeSafetensors(this.folder.create(fileName(layer)), tensors, {
      metadata: {
        fingerprint: this.fingerprint,
        description,
        sha256: await digest(description, tensors),
      },
    });
  }

  /** @throws ConversionError `ResumeMismatch` for a layer of another conversion */
  async load(layer: number): Promise<SavedLayer | undefined> {
    const name = fileName(layer);
    if (!(await this.folder.has(name))) return undefined;
    try {
      const checkpoint = await openSafetensors(await this.folder.open(name));
      try {
        return await this.read(checkpoint);
      } finally {
        await checkpoint.close();
      }
    } catch (error) {
      if (TensorIoError.isInstance(error)) return undefined;
      throw error;
    }
  }

  /** Removes every layer, of any conversion. */
  clear(): Promise<void> {
    return removeLayers(this.folder);
  }

  private async read(checkpoint: Checkpoint): Promise<SavedLayer | undefined> {
    const { metadata } = checkpoint;
    if (metadata.get("fingerprint") !== this.fingerprint) {
      throw new ConversionError(
        "ResumeMismatch",
        `${this.folder.name} has layers of a conversion with another model, text, device or settings; give the same ones, or remove the folder.`,
        { folder: this.folder.name },
      );
    }
    const tensors = new Map<string, StoredTensor>();
    for (const { name, shape } of checkpoint.tensors.values()) {
      tensors.set(name, { dtype: "F32", shape, data: await checkpoint.readBytes(name) });
    }
    const description = metadata.get("description") ?? "";
    if (metadata.get("sha256") !== (await digest(description, tensors))) return undefined;
    const { config, keptEnergy, outputError, choices } = JSON.parse(description) as {
      config: ConfigJson;
      choices: Partial<LatentSizes>;
    } & Omit<ConvertedLayer, "weights">;
    const weights = weightsOf(tensors, config);
    return { converted: { weights, keptEnergy, outputError }, choices };
  }
}

/** Names of the files of finished layers in a folder. */
export async function savedLayers(folder: WritableFolder): Promise<string[]> {
  // The first layer is there if any is; a folder still to be made cannot be listed.
  if (!(await folder.has(fileName(0)))) return [];
  return (await folder.list()).filter((name) => pattern.test(name)).toSorted();
}

/**
 * Removes the saved layers that a conversion left beside its complete model because it was stopped while it cleared up. Without a
 * `config.json` nothing is complete, and nothing is removed.
 *
 * @throws TensorIoError if the folder cannot be read or changed
 */
export async function removeLeftoverLayers(folder: WritableFolder): Promise<void> {
  if (await folder.has("config.json")) await removeLayers(folder);
}

async function removeLayers(folder: WritableFolder): Promise<void> {
  // The first goes last: as long as it is there the others are found.
  for (const name of (await savedLayers(folder)).toReversed()) await folder.remove(name);
}

type StoredTensor = TensorData & { readonly shape: readonly number[]; readonly data: Uint8Array };

type ConfigJson = Omit<LatentAttentionConfig, "frequencies"> & {
  readonly frequencies: readonly number[];
};

const configJson = (config: LatentAttentionConfig): ConfigJson => ({
  ...config,
  frequencies: [...config.frequencies],
});

/** Views of the weights. */
function tensorsOf(weights: WrittenWeights): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, part] of Object.entries(weights)) {
    if (name === "config" || part === undefined) continue;
    const { values, shape } = asArray(part as SingleMatrix | Float32Array);
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    tensors.set(name, { dtype: "F32", shape, data });
  }
  return tensors;
}

function asArray(part: SingleMatrix | Float32Array): { values: Float32Array; shape: number[] } {
  return "rows" in part
    ? { values: part.data, shape: [part.rows, part.columns] }
    : { values: part, shape: [part.length] };
}

function weightsOf(tensors: ReadonlyMap<string, StoredTensor>, config: ConfigJson): WrittenWeights {
  const parts = Array.from(tensors, ([name, { shape, data }]) => {
    const values = new Float32Array(data.slice().buffer);
    const [rows, columns] = shape;
    return [name, columns === undefined ? values : { rows, columns, data: values }] as const;
  });
  return {
    ...(Object.fromEntries(parts) as unknown as Omit<WrittenWeights, "config">),
    config: { ...config, frequencies: Float64Array.from(config.frequencies) },
  };
}

/** Of the description, and of names, shapes and values. */
async function digest(
  description: string,
  tensors: ReadonlyMap<string, StoredTensor>,
): Promise<string> {
  const hashes = [description];
  for (const [name, { shape, data }] of [...tensors].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    hashes.push(name, shape.join(), await sha256(data));
  }
  return sha256(new TextEncoder().encode(hashes.join("\n")));
}
