import type { CacheStorage, Device } from "@transmla/kernels";
import { formatJson } from "@transmla/tensor-io";
import { loadDecoderLayer, type DecoderLayer } from "./decoder-layer";
import { memoryNeeds } from "./memory-needs";
import { Model } from "./model";
import type { ModelFiles } from "./open-model";
import { WeightLoader, type WeightPrecision } from "./weights";

export interface LoadOptions {
  /** Called after every layer with the layers loaded so far. */
  readonly onProgress?: (progress: { done: number; total: number; unit: string }) => void;
  readonly signal?: AbortSignal;
  /** Precision of the matrices on the device (default `stored`). */
  readonly weights?: WeightPrecision | undefined;
  /** How caches of the model keep their numbers (default `f32`). */
  readonly cacheStorage?: CacheStorage | undefined;
  /** Tokens for which a cache will be made: room for them is asked for together with the weights' (default 0). */
  readonly cacheTokens?: number | undefined;
}

/**
 * Loads a model onto a device, tensor by tensor. The files stay open and belong to the caller.
 *
 * @throws KernelsError `OutOfMemory`, before any weight is read where the device knows its room; TensorIoError for unreadable files
 */
export async function loadModel(
  files: ModelFiles,
  device: Device,
  options: LoadOptions = {},
): Promise<Model> {
  const { config } = files;
  const { onProgress, signal, weights, cacheStorage } = options;
  device.checkRoom(memoryNeeds(files, options));
  const loader = new WeightLoader(device, files.checkpoint, signal, weights);
  try {
    const embedding = await loader.matrix("model.embed_tokens.weight");
    const layers: DecoderLayer[] = [];
    for (let layer = 0; layer < config.layers.length; layer++) {
      layers.push(await loadDecoderLayer(loader, config, layer));
      onProgress?.({ done: layer + 1, total: config.layers.length, unit: "layers" });
    }
    const finalNorm = await loader.norm("model.norm", config.normOffset);
    const head = config.tiedEmbeddings ? embedding : await loader.matrix("lm_head.weight");
    const parts = { embedding, layers, finalNorm, head };
    const configText = formatJson(files.configJson);
    return new Model(config, device, parts, loader, configText, cacheStorage);
  } catch (error) {
    loader.release();
    throw error;
  }
}
