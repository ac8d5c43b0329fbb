import type { AttentionWay, CacheStorage, Device, Tensor, Weight } from "@transmla/kernels";
import {
  PagedCache,
  type CachePlane,
  type PagedCacheOptions,
  type SequenceStore,
} from "@transmla/latent-cache";
import { rotatedPlane } from "./attention/planes";
import { sequenceSlots } from "./attention/slots";
import { appendBatch, type ModelStep } from "./batch";
import type { ModelConfig } from "./config/model-config";
import type { DecoderLayer } from "./decoder-layer";
import { embedTokens, outputLogits } from "./ends";
import { Rotations } from "./rotations";
import { traceLastToken, type TokenTrace, type TraceOptions } from "./trace";
import type { WeightLoader } from "./weights";

/** Weights of a whole model on a device. Made by `loadModel`. */
export interface ModelParts {
  readonly embedding: Weight;
  readonly layers: readonly DecoderLayer[];
  readonly finalNorm: Tensor;
  /** `[vocab, hidden]`; the embedding itself where the two are tied. */
  readonly head: Weight;
}

/** A decoder-only language model on a device. It holds weights, no text: sequences live in the cache. */
export class Model {
  constructor(
    readonly config: ModelConfig,
    readonly device: Device,
    private readonly parts: ModelParts,
    private readonly loader: WeightLoader,
    /** The text of its config.json. */
    private readonly configText: string,
    /** How caches of this model keep their numbers unless told otherwise. */
    readonly cacheStorage: CacheStorage = "f32",
  ) {}

  /** What every layer caches per token, for a cache of one's own. */
  get cachePlanes(): readonly (readonly CachePlane[])[] {
    return this.parts.layers.map(({ attention }) => attention.planes);
  }

  /** A cache for this model: see `PagedCache` for its options. Throws the device's `OutOfMemory`. */
  createCache(options: Omit<PagedCacheOptions, "layers">): PagedCache {
    const storage = options.storage ?? this.cacheStorage;
    return new PagedCache(this.device, { ...options, layers: this.cachePlanes, storage });
  }

  /**
   * Runs the next tokens of one or more sequences as one batch and returns their logits: `[outputs, vocab]` of each step's
   * last tokens (see `ModelStep.outputs`), or `[tokens, vocab]` of all; or else, of all tokens, the `states` that `head`
   * makes logits of, `[tokens, hidden]`. The tensor belongs to the caller, who releases it. If it throws, the sequences are
   * as long as before.
   *
   * `way` is that of latent attention. A device may choose another one for many tokens than for few, so that results differ in
   * the last bits; where they must not depend on what else is in the batch, it is named.
   *
   * @throws ModelsError `InvalidTokens`, `ContextExceeded`; LatentCacheError `CacheFull`; KernelsError `OutOfMemory`
   */
  forward(
    cache: SequenceStore,
    steps: readonly ModelStep[],
    output: "last" | "all" | "states" = "last",
    way: AttentionWay = "auto",
  ): Tensor {
    const before = steps.map(({ sequence }) => sequence.length);
    const batch = appendBatch(steps, this.config);
    try {
      return this.device.scope(() => {
        const { device, parts } = this;
        const { ids, positions, lastRows, ...context } = batch;
        const lists = this.config.layers.map(({ attention }) => attention.frequencies);
        const rotations = new Rotations(device, positions, lists);
        let x = embedTokens(device, this.config, parts.embedding, ids);
        for (const [index, layer] of parts.layers.entries()) {
          const pools = cache.pool(index);
          const input = x;
          x = device.scope(() => layer.forward(input, { ...context, pools, rotations, way }));
          device.release(input);
        }
        const rows = output === "last" ? device.gatherRows(x, lastRows) : x;
        const states = device.rmsNorm(rows, parts.finalNorm, this.config.normEpsilon);
        return output === "states" ? states : this.head(states);
      });
    } catch (error) {
      for (const [index, { sequence }] of steps.entries()) sequence.truncate(before[index]);
      throw error;
    }
  }

  /**
   * Turns the cached keys of a sequence from position `from` on as if their tokens stood `by` positions earlier, after tokens
   * before them were dropped from it: rotations add up, so keys need not be computed again. Only keys are touched: of latent
   * attention the small part that is rotated.
   */
  moveBack(cache: SequenceStore, sequence: ModelStep["sequence"], from: number, by: number): void {
    const { device } = this;
    const slots = sequenceSlots(cache, sequence, from);
    if (slots.length === 0) return;
    device.scope(() => {
      const lists = this.config.layers.map(({ attention }) => attention.frequencies);
      const rotations = new Rotations(device, Int32Array.of(-by), lists);
      const rows = new Int32Array(slots.length);
      for (const [layer, { attention }] of this.config.layers.entries()) {
        const table = rotations.table(attention.frequencies);
        const pool = cache.pool(layer)[rotatedPlane(attention)];
        if (!table || !pool) continue;
        device.scope(() => {
          const keys = device.readPages(pool, slots);
          device.writePages(pool, device.rope(keys, table, rows), slots);
        });
      }
    });
  }

  /**
   * Looks inside: what the attention of the last of `tokens` looks at in every layer and head, and what is cached for all of them. Runs the
   * tokens, from an empty cache, apart from any other sequence.
   *
   * @throws ModelsError `InvalidTokens`, `ContextExceeded`; KernelsError `OutOfMemory`; the signal's reason, between layers
   */
  trace(tokens: Int32Array, options: TraceOptions = {}): Promise<TokenTrace> {
    const { device, config, parts } = this;
    const embed = (ids: Int32Array) => embedTokens(device, config, parts.embedding, ids);
    return traceLastToken(this, { layers: parts.layers, embed }, tokens, options);
  }

  /** Logits `[tokens, vocab]` of the states `[tokens, hidden]` that `forward` gives. The tensor belongs to the caller. */
  head(states: Tensor): Tensor {
    return outputLogits(this.device, this.config, this.parts.head, states);
  }

  /**
   * A hash that tells this model's caches from those of others: of its config, and of names, shapes and first numbers of its
   * matrices as they were loaded.
   */
  fingerprint(): Promise<string> {
    return this.loader.fingerprint(this.configText);
  }

  /** Releases the weights. Caches made by this model are released by their own `destroy`. */
  release(): void {
    this.loader.release();
  }
}
