import type { Tensor } from "@transmla/kernels";
import type { CachePlane, PagedCache } from "@transmla/latent-cache";
import type { ScorePart } from "./attention/attention-layer";
import { sequenceSlots } from "./attention/slots";
import { lastTokenWeights, type HostScorePart } from "./attention/token-weights";
import { appendBatch } from "./batch";
import type { ModelConfig } from "./config/model-config";
import type { DecoderLayer } from "./decoder-layer";
import { Rotations } from "./rotations";
import type { Model } from "./model";

/** What the attention of one token does in every layer, and what is cached for the tokens up to it. */
export interface TokenTrace {
  /** Tokens up to the traced one, itself included. */
  readonly length: number;
  readonly layers: readonly LayerTrace[];
}

/** One layer of a trace. */
export interface LayerTrace {
  readonly heads: number;
  /** What softmax gives every cached token, `[heads, length]`; each row sums to 1. */
  readonly weights: Float32Array;
  /** What the layer caches, as attention reads it back. */
  readonly planes: readonly TracedPlane[];
}

/** Rows of one plane of the cache. */
export interface TracedPlane extends CachePlane {
  /** `[length, width]` */
  readonly rows: Float32Array;
}

export interface TraceOptions {
  readonly onProgress?: (progress: { done: number; total: number; unit: string }) => void;
  readonly signal?: AbortSignal | undefined;
}

/** The parts of a model that a trace runs. */
export interface TracedParts {
  /** `[tokens, hidden]` of token ids. */
  embed(ids: Int32Array): Tensor;
  readonly layers: readonly DecoderLayer[];
}

/** See `Model.trace`. */
export async function traceLastToken(
  model: Model,
  parts: TracedParts,
  tokens: Int32Array,
  options: TraceOptions,
): Promise<TokenTrace> {
  const cache = model.createCache({ capacity: tokens.length });
  try {
    const batch = appendBatch([{ sequence: cache.open(), tokens }], model.config);
    const run = { model, cache, batch };
    const layers: LayerTrace[] = [];
    let x = parts.embed(batch.ids);
    try {
      for (const [index, layer] of parts.layers.entries()) {
        options.signal?.throwIfAborted();
        const step = runLayer(run, layer, index, x);
        model.device.release(x);
        x = step.next;
        layers.push(await readLayer(run, index, step.parts));
        options.onProgress?.({ done: index + 1, total: parts.layers.length, unit: "layers" });
      }
    } finally {
      model.device.release(x);
    }
    return { length: tokens.length, layers };
  } finally {
    cache.destroy();
  }
}

interface Run {
  readonly model: Model;
  readonly cache: PagedCache;
  readonly batch: ReturnType<typeof appendBatch>;
}

/** The layer as `Model.forward` runs it, and what its logits are made of. The tensors belong to the caller. */
function runLayer({ model, cache, batch }: Run, layer: DecoderLayer, index: number, x: Tensor) {
  const { device, config } = model;
  let parts: readonly ScorePart[] = [];
  const [next] = device.scope(() => {
    const { frequencies } = config.layers[index]!.attention;
    const rotations = new Rotations(device, batch.positions, [frequencies]);
    const context = { ...batch, pools: cache.pool(index), rotations };
    const output = layer.forward(x, context);
    parts = layer.attention.scoreParts(layer.attentionInput(x), context).map((part) => ({
      ...part,
      query: device.gatherRows(part.query, batch.lastRows),
    }));
    return [output, ...parts.flatMap(({ query, keys }) => [query, keys])];
  });
  return { next: next!, parts };
}

async function readLayer(
  { model, cache, batch }: Run,
  index: number,
  parts: readonly ScorePart[],
): Promise<LayerTrace> {
  const { device, config } = model;
  const { attention } = config.layers[index] as ModelConfig["layers"][number];
  const host: HostScorePart[] = [];
  for (const { query, keys, groups } of parts) {
    host.push({
      query: await readAndRelease(model, query),
      keys: await readAndRelease(model, keys),
      groups,
    });
  }
  const planes: TracedPlane[] = [];
  for (const [plane, pool] of cache.pool(index).entries()) {
    const rows = device.readPages(pool, sequenceSlots(pool, batch.sequences[0]!));
    const described = model.cachePlanes[index]![plane]!;
    planes.push({ ...described, rows: await readAndRelease(model, rows) });
  }
  const length = batch.ids.length;
  return { heads: attention.heads, weights: lastTokenWeights(host, attention, length), planes };
}

async function readAndRelease({ device }: Model, tensor: Tensor): Promise<Float32Array> {
  const values = await device.read(tensor);
  device.release(tensor);
  return values;
}
