import type { Device, Tensor } from "@transmla/kernels";
import type { CacheSequence, PagedCache, PlaneStorage } from "@transmla/latent-cache";
import type { Model } from "@transmla/models";
import { EvaluationError } from "./errors";

/**
 * A model whose final states on a text are known already, so that only its output head has to be computed again: what `recordStates`
 * returned for the same tokens and context.
 */
export interface RecordedModel {
  readonly model: Model;
  /** `[tokens of all windows, hidden]` */
  readonly states: Float32Array;
}

/** What logits can be had from. */
export type LogitSource = Model | RecordedModel;

/** What a model says about a text, chunk after chunk, window after window. */
export interface Reader {
  startWindow(): void;
  /** Of the window's next tokens: logits `[tokens, vocab]` or states `[tokens, hidden]`, valid until the next call. */
  read(tokens: Int32Array): Promise<Float32Array>;
  destroy(): void;
}

export function modelOf(source: LogitSource): Model {
  return "states" in source ? source.model : source;
}

/** Opens a reader; `capacity` are the tokens of the longest window, `total` those of all. */
export type OpenReader = (sizes: { readonly capacity: number; readonly total: number }) => Reader;

/**
 * Reads logits, from a cache of the given storage (default: the model's). Opening throws EvaluationError `InvalidOption` for
 * states of another text or model.
 */
export function logitsOf(source: LogitSource, storage?: PlaneStorage): OpenReader {
  if ("states" in source) return ({ total }) => new RecordReader(source, total);
  return ({ capacity }) => new ModelReader(source, capacity, "all", storage);
}

/** Reads final states. */
export function statesOf(model: Model): OpenReader {
  return ({ capacity }) => new ModelReader(model, capacity, "states");
}

/** Runs a model from an empty cache in every window. */
class ModelReader implements Reader {
  private readonly cache: PagedCache;
  private readonly rows = new Rows();
  private sequence: CacheSequence | undefined;

  constructor(
    private readonly model: Model,
    capacity: number,
    private readonly output: "all" | "states",
    storage?: PlaneStorage,
  ) {
    this.cache = model.createCache({ capacity, storage });
  }

  startWindow(): void {
    this.sequence?.release();
    this.sequence = this.cache.open();
  }

  async read(tokens: Int32Array): Promise<Float32Array> {
    const { model, cache, output, rows } = this;
    const result = model.forward(cache, [{ sequence: this.sequence!, tokens }], output);
    try {
      return await rows.read(model.device, result);
    } finally {
      model.device.release(result);
    }
  }

  destroy(): void {
    this.cache.destroy();
  }
}

/** Makes logits of recorded states. */
class RecordReader implements Reader {
  private position = 0;
  private readonly rows = new Rows();

  constructor(
    private readonly record: RecordedModel,
    total: number,
  ) {
    const { hiddenSize } = record.model.config;
    if (record.states.length === total * hiddenSize) return;
    throw new EvaluationError(
      "InvalidOption",
      `The recorded states are ${record.states.length} numbers, this text needs ${total} x ${hiddenSize}. Record them with the same text and context.`,
      { option: "states", length: record.states.length, tokens: total, hiddenSize },
    );
  }

  startWindow(): void {}

  async read(tokens: Int32Array): Promise<Float32Array> {
    const { model, states } = this.record;
    const { device } = model;
    const { hiddenSize } = model.config;
    const start = this.position;
    this.position += tokens.length;
    const inputs = states.subarray(start * hiddenSize, this.position * hiddenSize);
    const logits = device.scope(() =>
      model.head(device.tensor(inputs, [tokens.length, hiddenSize])),
    );
    try {
      return await this.rows.read(device, logits);
    } finally {
      device.release(logits);
    }
  }

  destroy(): void {}
}

/** What was read last. Logits of a chunk take many megabytes: one array for all of them spares the engine their collection. */
class Rows {
  private array = new Float32Array();

  read(device: Device, tensor: Tensor): Promise<Float32Array> {
    const [rows, columns] = tensor.shape;
    const size = rows * columns;
    if (size > this.array.length) this.array = new Float32Array(size);
    return device.read(tensor, this.array.subarray(0, size));
  }
}
