import type { AttentionConfig } from "@transmla/models";
import { EvaluationError } from "../errors";
import type { Work } from "../roofline";
import { attentionLoad, type AttentionLoad, type DecodeWay, type Sharing } from "./attention-load";
import { modelWeights, type ModelWeights, type PlannedModel } from "./model-weights";
import type { Target } from "./targets";

/** How a model is run on a target. */
export interface DeploymentOptions {
  /** Of latent attention; grouped attention has one. Default `absorbed`. */
  readonly way?: DecodeWay | undefined;
  /** What several devices share; default `heads`. */
  readonly sharing?: Sharing | undefined;
  /** Bytes of a row of so many cached numbers. */
  readonly rowBytes: (width: number) => number;
  /** Part of the memory that weights and cache may take, the rest being for everything else; default 0.9. */
  readonly usable?: number | undefined;
}

/** Part of a device's memory for weights and cache: what vLLM takes by default (`gpu_memory_utilization`). */
export const USABLE_MEMORY = 0.9;

/** A decoding step of all sequences at the roofline. */
export interface DecodeStep {
  readonly seconds: number;
  /** New tokens per second, all sequences together. */
  readonly tokensPerSecond: number;
  /** What the longer part of the step waits for. */
  readonly bound: "memory" | "arithmetic";
}

/**
 * A model on a target: what fits, and how fast it can be at most. Everything is a lower bound on time (Williams et al., "Roofline", CACM
 * 2009): weights and attention each take the longer of reading and computing, one after the other; communication between devices,
 * norms, sampling and the host take nothing.
 */
export class Deployment {
  private readonly weights: ModelWeights;
  private readonly loads: readonly { readonly load: AttentionLoad; readonly window: number }[];
  private readonly sharing: Sharing;

  /** @throws EvaluationError `InvalidOption` */
  constructor(
    private readonly model: PlannedModel,
    private readonly target: Target,
    private readonly options: DeploymentOptions,
  ) {
    const { way = "absorbed", sharing = "heads", usable = USABLE_MEMORY } = options;
    checkPositive({ ...target, usable });
    this.sharing = sharing;
    this.weights = modelWeights(model);
    const loadOf = (attention: AttentionConfig) =>
      attentionLoad(attention, way, sharing, target.devices);
    this.loads = model.config.layers.map(({ attention }) => ({
      load: loadOf(attention),
      window: attention.window ?? Infinity,
    }));
  }

  /** Bytes of weights on each device. */
  get weightBytes(): number {
    return this.perDevice(this.weights.bytes);
  }

  /** Bytes that one sequence of `tokens` tokens takes on a device that has it. */
  cacheBytes(tokens: number): number {
    const { rowBytes } = this.options;
    let bytes = 0;
    for (const { load, window } of this.loads) {
      const row = load.planes.reduce((sum, width) => sum + (width > 0 ? rowBytes(width) : 0), 0);
      bytes += Math.min(tokens, window) * row;
    }
    return bytes;
  }

  /** Bytes left for the cache on each device; negative where not even the weights fit. */
  get freeBytes(): number {
    const { usable = USABLE_MEMORY } = this.options;
    return usable * this.target.memory - this.weightBytes;
  }

  /** Tokens of the longest sequence that fits; Infinity where windows bound the cache. */
  get longestContext(): number {
    const { freeBytes } = this;
    const fits = (tokens: number) => this.cacheBytes(tokens) <= freeBytes;
    const unbounded = 2 ** 50;
    if (freeBytes < 0) return 0;
    if (fits(unbounded)) return Infinity;
    let low = 0;
    for (let high = unbounded; high - low > 1;) {
      const middle = Math.floor((low + high) / 2);
      if (fits(middle)) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Sequences of `context` tokens that fit. */
  largestBatch(context: number): number {
    const each = Math.floor(Math.max(0, this.freeBytes) / this.cacheBytes(context));
    return this.sharing === "sequences" ? each * this.target.devices : each;
  }

  /** One new token for each of `batch` sequences that have `context` tokens in the cache. */
  decode(batch: number, context: number): DecodeStep {
    const weights = this.weights.step(batch);
    const parts = [
      { bytes: this.readBytes(weights), flops: weights.flops / this.target.devices },
      this.attention(batch, context),
    ].map((work) => this.limit(work));
    const seconds = parts[0]!.seconds + parts[1]!.seconds;
    const { bound } = parts[0]!.seconds > parts[1]!.seconds ? parts[0]! : parts[1]!;
    return { seconds, tokensPerSecond: batch / seconds, bound };
  }

  /** Seconds of attention alone in such a step. */
  attentionSeconds(batch: number, context: number): number {
    return this.limit(this.attention(batch, context)).seconds;
  }

  /**
   * Seconds until a prompt of `tokens` tokens is in the cache, one sequence on all devices. Each token sees half of the others; latent
   * attention restores keys and values, which takes less arithmetic than absorbing.
   */
  promptSeconds(tokens: number): number {
    const { config } = this.model;
    const { devices } = this.target;
    const work = this.weights.step(tokens);
    // The output head runs for the last token only.
    const head = 2 * config.vocabSize * config.hiddenSize * (tokens - 1);
    let pairs = 0;
    for (const { attention } of config.layers) {
      const way = attention.kind === "gqa" ? "grouped" : "expanded";
      const { perPair, perQuery } = attentionLoad(attention, way, "heads", devices);
      pairs += perPair * Math.min(tokens / 2, attention.window ?? Infinity) + perQuery;
    }
    const bytes = this.readBytes(work);
    const flops = (work.flops - head) / devices + 2 * tokens * pairs;
    return this.limit({ bytes, flops }).seconds;
  }

  private attention(batch: number, context: number): Work {
    const own = this.sharing === "sequences" ? Math.ceil(batch / this.target.devices) : batch;
    let multiplyAdds = 0;
    let restored = 0;
    for (const { load, window } of this.loads) {
      const seen = Math.min(context, window);
      multiplyAdds += seen * (load.perPair + load.perCached) + load.perQuery;
      // Restored rows are float32, as in our kernels.
      restored += 4 * seen * load.restored;
    }
    return { bytes: own * (this.cacheBytes(context) + restored), flops: 2 * own * multiplyAdds };
  }

  /** Bytes of the weights' step on each device. */
  private readBytes({ bytes }: Work): number {
    return this.perDevice(bytes);
  }

  /** A device's part of weights, which has all of the attention's where it has whole sequences. */
  private perDevice(bytes: number): number {
    const { devices } = this.target;
    const whole = this.sharing === "sequences" ? this.weights.attentionBytes : 0;
    return whole + (bytes - whole) / devices;
  }

  private limit({ bytes, flops }: Work) {
    const reading = bytes / this.target.bandwidth;
    const computing = flops / this.target.flops;
    return {
      seconds: Math.max(reading, computing),
      bound: reading >= computing ? ("memory" as const) : ("arithmetic" as const),
    };
  }
}

function checkPositive({ devices, bandwidth, flops, memory, usable }: Target & { usable: number }) {
  const values = { devices, bandwidth, flops, memory, usable };
  const wrong = Object.entries(values).find(([, value]) => !(value > 0 && Number.isFinite(value)));
  if (wrong === undefined) return;
  throw new EvaluationError(
    "InvalidOption",
    `${wrong[0]} must be a positive number, got ${wrong[1]}.`,
    {
      [wrong[0]]: wrong[1],
    },
  );
}
