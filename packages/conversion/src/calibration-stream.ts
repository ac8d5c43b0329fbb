import type { Device, Tensor } from "@transmla/kernels";
import { PagedCache } from "@transmla/latent-cache";
import { Moments, type Matrix } from "@transmla/low-rank";
import {
  appendBatch,
  Rotations,
  type AttentionConfig,
  type AttentionLayer,
  type DecoderLayer,
  type ModelConfig,
} from "@transmla/models";

/** Tokens that pass through a layer at once; bounds the device memory of a calibration. */
const BATCH_TOKENS = 1024;

/** Some calibration sequences and their hidden states before the layer that comes next. */
interface StreamBatch {
  readonly sequences: readonly Int32Array[];
  /** `[tokens, hidden]` */
  states: Float32Array;
}

/** The hidden states of all calibration sequences at one depth of a model, kept on the host. */
export interface CalibrationStream {
  readonly batches: readonly StreamBatch[];
}

/** A layer's attention with its sizes: the original one or its conversion. */
export interface AttentionUnderTest {
  readonly layer: AttentionLayer;
  readonly config: AttentionConfig;
}

/** Runs calibration sequences through a model one layer at a time, so that only one layer's weights are in memory. */
export class CalibrationRunner {
  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
    private readonly signal?: AbortSignal,
  ) {}

  /** Embeds the sequences: the stream before layer 0. `embed` returns `[tokens, hidden]`. */
  async embed(
    sequences: readonly Int32Array[],
    embed: (ids: Int32Array) => Tensor,
  ): Promise<CalibrationStream> {
    const batches: StreamBatch[] = [];
    for (const group of grouped(sequences)) {
      const ids = Int32Array.from(group.flatMap((tokens) => [...tokens]));
      batches.push({ sequences: group, states: await this.take(embed(ids)) });
    }
    return { batches };
  }

  /** `E[x~ x~^T]` of a layer's attention input, `[hidden + 1, hidden + 1]`. */
  async inputMoment(stream: CalibrationStream, layer: DecoderLayer): Promise<Matrix> {
    const { hiddenSize } = this.config;
    const moments = new Moments(hiddenSize);
    for (const { states } of stream.batches) {
      this.signal?.throwIfAborted();
      moments.add(
        await this.take(this.device.scope(() => layer.attentionInput(this.upload(states)))),
      );
    }
    return moments.augmented();
  }

  /**
   * Moves the stream past a layer whose attention is `attention`. `onOutput` sees the attention's output of every batch,
   * `[tokens, hidden]`.
   */
  async advance(
    stream: CalibrationStream,
    layer: DecoderLayer,
    attention: AttentionUnderTest,
    onOutput?: (batch: number, output: Float32Array) => void,
  ): Promise<void> {
    const cache = new PagedCache(this.device, {
      layers: [attention.layer.planes],
      capacity: Math.max(...stream.batches.map((batch) => paddedTokens(batch.sequences))),
      pageTokens: PAGE_TOKENS,
    });
    try {
      for (const [index, batch] of stream.batches.entries()) {
        this.signal?.throwIfAborted();
        const steps = batch.sequences.map((tokens) => ({ sequence: cache.open(), tokens }));
        const [output, next] = this.device.scope(() => {
          const { positions, ...context } = appendBatch(steps, this.config);
          const rotations = new Rotations(this.device, positions, [attention.config.frequencies]);
          const x = this.upload(batch.states);
          const input = layer.attentionInput(x);
          const mixed = attention.layer.forward(input, {
            ...context,
            pools: cache.pool(0),
            rotations,
          });
          return [mixed, layer.finish(x, mixed)] as const;
        });
        if (onOutput) onOutput(index, await this.device.read(output));
        batch.states = await this.device.read(next);
        this.device.release(output);
        this.device.release(next);
        for (const { sequence } of steps) sequence.release();
      }
    } finally {
      cache.destroy();
    }
  }

  private upload(states: Float32Array): Tensor {
    const { hiddenSize } = this.config;
    return this.device.tensor(states, [states.length / hiddenSize, hiddenSize]);
  }

  /** Reads a tensor and releases it. */
  private async take(tensor: Tensor): Promise<Float32Array> {
    const values = await this.device.read(tensor);
    this.device.release(tensor);
    return values;
  }
}

const PAGE_TOKENS = 64;

/** Tokens of a batch when every sequence fills whole pages. */
function paddedTokens(sequences: readonly Int32Array[]): number {
  return sequences.reduce((sum, s) => sum + Math.ceil(s.length / PAGE_TOKENS) * PAGE_TOKENS, 0);
}

function grouped(sequences: readonly Int32Array[]): Int32Array[][] {
  const groups: Int32Array[][] = [];
  let tokens = Infinity;
  for (const sequence of sequences) {
    tokens += sequence.length;
    if (tokens > BATCH_TOKENS) {
      groups.push([]);
      tokens = sequence.length;
    }
    groups.at(-1)!.push(sequence);
  }
  return groups;
}
