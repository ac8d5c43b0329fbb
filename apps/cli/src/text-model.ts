import { ChatTemplate, Engine, loadTokenizer, TextEngine } from "@transmla/generation";
import type { Device } from "@transmla/kernels";
import { bytesPerToken } from "@transmla/latent-cache";
import { cachePlanes, loadModel, type Model, type ModelFiles } from "@transmla/models";
import type { ModelStorage } from "./command";

export interface TextModelOptions {
  readonly storage: ModelStorage;
  /** Bytes of the cache (default: eight whole contexts, 512 MB at most). */
  readonly cacheBytes: number | undefined;
  readonly onProgress?: (progress: { done: number; total: number; unit: string }) => void;
  readonly signal?: AbortSignal;
}

/** A model that is ready for text. */
export interface TextModel {
  readonly model: Model;
  readonly engine: Engine;
  readonly text: TextEngine;
  /** Tokens that a text can have: those that the model sees, or that the cache holds. */
  readonly contextTokens: number;
  close(): Promise<void>;
}

const mostCacheBytes = 512e6;
const defaultContexts = 8;

/**
 * Loads a model with its tokenizer, its chat template where it has one, and an engine.
 * @throws KernelsError `OutOfMemory`; GenerationError for tokenizers and templates that cannot be used; TensorIoError
 */
export async function loadTextModel(
  files: ModelFiles,
  device: Device,
  { storage, cacheBytes, onProgress, signal }: TextModelOptions,
): Promise<TextModel> {
  const tokenizer = await loadTokenizer(files.origin);
  const template = ChatTemplate.fromConfig(tokenizer.config);
  const capacity = cacheTokens(files, storage, cacheBytes);
  const progress = onProgress ? { onProgress } : {};
  const stop = signal ? { signal } : {};
  const model = await loadModel(files, device, {
    ...storage,
    ...progress,
    ...stop,
    cacheTokens: capacity,
  });
  const engine = new Engine(model, { cache: { capacity } });
  return {
    model,
    engine,
    text: new TextEngine(engine, tokenizer, model.config, template),
    contextTokens: Math.min(model.config.maxPositions, engine.cache.capacity),
    close: async () => {
      await engine.close();
      model.release();
    },
  };
}

/** Tokens of cache that the bytes hold, one at least. */
function cacheTokens(
  { config }: ModelFiles,
  { cacheStorage = "f32" }: ModelStorage,
  bytes: number | undefined,
): number {
  const planes = config.layers.map(({ attention }) => cachePlanes(attention));
  const perToken = bytesPerToken(planes, cacheStorage);
  const whole = defaultContexts * config.maxPositions * perToken;
  return Math.max(1, Math.floor((bytes ?? Math.min(mostCacheBytes, whole)) / perToken));
}
