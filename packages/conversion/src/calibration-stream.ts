import type { Device, Tensor } from "@transmla/kernels";
import { PagedCache, type CachePlane } from "@transmla/latent-cache";
import {
  appendBatch,
  Rotations,
  type AttentionConfig,
  type AttentionContext,
  type AttentionLayer,
  type DecoderLayer,
  type GroupedAttentionLayer,
  type ModelConfig,
} from "@transmla/models";
import { FARTHEST, inOrder, skippingPositions } from "./calibration-positions";
import {
  featureParts,
  featuresOf,
  FeatureStatistics,
  type FeatureMoments,
  type FeatureRows,
  type OfFeatures,
} from "./features";

/** Tokens that pass through a layer at once: fewer where the feed-forward is wide, which bounds the device memory of a calibration. */
const BATCH_TOKENS = { least: 128, most: 512 };
/** Numbers of the feed-forward at once. */
const BATCH_NUMBERS = 1 << 20;

/** Some calibration sequences and their hidden states before the layer that comes next. */
interface StreamBatch {
  readonly sequences: readonly Int32Array[];
  /** Of every token in its sequence, `[tokens]`; some may be left out, see `skippingPositions`. */
  readonly positions: Int32Array;
  /** `[tokens, hidden]` */
  states: Float32Array;
}

/** The hidden states of all calibration sequences at one depth of a model, kept on the host. */
export interface CalibrationStream {
  readonly batches: readonly StreamBatch[];
}

export interface StreamOptions {
  /** Whether `skippingPositions` places the tokens (default: one after the other). */
  readonly skipPositions?: boolean | undefined;
}

/** What one sequence's queries and keys are made of, `[length, width]` each, and where its tokens are, `[length]`. */
export interface SequenceFeatures extends OfFeatures<Float32Array> {
  readonly positions: Int32Array;
}

/** The first sequences of a stream, at least one and about `tokens` tokens. */
export function firstSequences({ batches }: CalibrationStream, tokens: number): Int32Array[] {
  const all = batches.flatMap(({ sequences }) => sequences);
  let taken = 0;
  const end = all.findIndex(({ length }) => (taken += length) >= tokens);
  return end < 0 ? all : all.slice(0, end + 1);
}

/** A layer's attention with its sizes: the original one or its conversion. */
export interface AttentionUnderTest {
  readonly layer: AttentionLayer;
  readonly config: AttentionConfig;
  /** The heads' outputs of every batch, where an earlier pass has left them; then only their projection is computed. */
  readonly mixed?: readonly Float32Array[] | undefined;
}

/** A batch on the device. */
export interface BatchInput {
  readonly index: number;
  /** The residual stream, `[tokens, hidden]`. */
  readonly x: Tensor;
  readonly positions: Int32Array;
  readonly context: AttentionContext;
}

/** Runs calibration sequences through a model one layer at a time, so that only one layer's weights are in memory. */
export class CalibrationRunner {
  constructor(
    private readonly device: Device,
    private readonly config: ModelConfig,
    private readonly signal?: AbortSignal,
  ) {}

  /** The stream before layer 0. `embedding` gives a token's row, `[hidden]`. */
  embed(
    sequences: readonly Int32Array[],
    embedding: (id: number) => Float32Array,
    { skipPositions = false }: StreamOptions = {},
  ): CalibrationStream {
    const { hiddenSize, maxPositions } = this.config;
    let index = 0;
    const placed = ({ length }: Int32Array) =>
      skipPositions ? skippingPositions(length, index++, maxPositions) : inOrder(length);
    const batches = grouped(sequences, this.batchTokens).map((group): StreamBatch => {
      const positions = Int32Array.from(group.flatMap((tokens) => [...placed(tokens)]));
      const ids = group.flatMap((tokens) => [...tokens]);
      const states = new Float32Array(ids.length * hiddenSize);
      for (const [t, id] of ids.entries()) states.set(embedding(id), t * hiddenSize);
      return { sequences: group, positions, states };
    });
    return { batches };
  }

  private get batchTokens(): number {
    const { least, most } = BATCH_TOKENS;
    const widest = Math.max(
      ...this.config.layers.map(({ feedForward }) => feedForward.intermediateSize),
    );
    return Math.min(most, Math.max(least, Math.floor(BATCH_NUMBERS / widest)));
  }

  /** Second moments of what a layer's grouped attention is linear in. */
  async moments(stream: CalibrationStream, layer: DecoderLayer): Promise<FeatureMoments> {
    const { config } = layer.attention as GroupedAttentionLayer;
    const statistics = new FeatureStatistics(this.device, config.headDim);
    for (const { states } of stream.batches) {
      this.signal?.throwIfAborted();
      await statistics.add(await this.features(layer, states));
    }
    return statistics.moments();
  }

  /** What a layer's grouped attention is linear in, of `firstSequences`, one sequence after the other: `[length, width]` each. */
  async *sequenceFeatures(
    stream: CalibrationStream,
    layer: DecoderLayer,
    tokens: number,
  ): AsyncGenerator<SequenceFeatures> {
    const { window } = (layer.attention as GroupedAttentionLayer).config;
    let left = firstSequences(stream, tokens).length;
    for (const batch of stream.batches) {
      if (left === 0) return;
      const { sequences, states } = batch;
      const positions = positionsIn(batch, window);
      const { query, key } = await this.features(layer, states);
      let row = 0;
      for (const { length } of sequences.slice(0, left)) {
        const own = ({ values, width }: FeatureRows) =>
          values.slice(row * width, (row + length) * width);
        const keys = own(key);
        yield {
          query: query === key ? keys : own(query),
          key: keys,
          positions: positions.subarray(row, row + length),
        };
        row += length;
        left--;
      }
    }
  }

  /**
   * Moves the stream past a layer whose attention is `attention`. `onOutput` sees, of every batch, the stream before the layer and the
   * attention's output, `[tokens, hidden]` both.
   */
  async advance(
    stream: CalibrationStream,
    layer: DecoderLayer,
    attention: AttentionUnderTest,
    onOutput?: (batch: number, before: Float32Array, output: Float32Array) => void,
  ): Promise<void> {
    await this.eachBatch(
      stream,
      { planes: attention.layer.planes, config: attention.config },
      ({ index, x, context }) => {
        const mixed = attention.mixed
          ? this.rows(attention.mixed[index], x.shape[0])
          : attention.layer.mix(layer.attentionInput(x), context);
        const output = attention.layer.output(mixed);
        return [output, layer.finish(x, output)];
      },
      (index, [output, next]) => {
        const batch = stream.batches[index];
        onOutput?.(index, batch.states, output);
        batch.states = next;
      },
    );
  }

  /**
   * Runs every batch in a scope of its own, with an empty cache and the rotations of an attention, and hands what `run` returns to
   * `take`. The stream stays where it is.
   */
  async eachBatch(
    stream: CalibrationStream,
    {
      planes,
      config,
    }: { readonly planes: readonly CachePlane[]; readonly config: AttentionConfig },
    run: (input: BatchInput) => readonly Tensor[],
    take: (batch: number, values: readonly Float32Array[]) => void | Promise<void>,
  ): Promise<void> {
    const cache = new PagedCache(this.device, {
      layers: [planes],
      capacity: Math.max(...stream.batches.map((batch) => paddedTokens(batch.sequences))),
      pageTokens: PAGE_TOKENS,
    });
    try {
      for (const [index, batch] of stream.batches.entries()) {
        this.signal?.throwIfAborted();
        const steps = batch.sequences.map((tokens) => ({ sequence: cache.open(), tokens }));
        const results = this.device.scope(() => {
          const { slots, sequences } = appendBatch(steps, this.config);
          const positions = positionsIn(batch, config.window);
          const rotations = new Rotations(this.device, positions, [config.frequencies]);
          const context = { slots, sequences, pools: cache.pool(0), rotations };
          return run({ index, x: this.upload(batch.states), positions, context });
        });
        const values: Float32Array[] = [];
        for (const result of results) values.push(await this.take(result));
        await take(index, values);
        for (const { sequence } of steps) sequence.release();
      }
    } finally {
      cache.destroy();
    }
  }

  private async features(
    layer: DecoderLayer,
    states: Float32Array,
  ): Promise<OfFeatures<FeatureRows>> {
    const parts = this.device.scope(() => featureParts(layer, this.upload(states)));
    const rows: FeatureRows[] = [];
    for (const part of parts) rows.push({ width: part.shape[1], values: await this.take(part) });
    return featuresOf(rows);
  }

  private upload(states: Float32Array): Tensor {
    return this.rows(states, states.length / this.config.hiddenSize);
  }

  private rows(values: Float32Array, count: number): Tensor {
    return this.device.tensor(values, [count, values.length / count]);
  }

  /** Reads a tensor and releases it. */
  private async take(tensor: Tensor): Promise<Float32Array> {
    const values = await this.device.read(tensor);
    this.device.release(tensor);
    return values;
  }
}

/** A layer whose window ends before the farthest token never attends over a gap: there tokens stand one after the other. */
function positionsIn(
  { positions, sequences }: StreamBatch,
  window: number | undefined = Infinity,
): Int32Array {
  if (window >= FARTHEST) return positions;
  return Int32Array.from(sequences.flatMap(({ length }) => [...inOrder(length)]));
}

const PAGE_TOKENS = 64;

/** Tokens of a batch when every sequence fills whole pages. */
function paddedTokens(sequences: readonly Int32Array[]): number {
  return sequences.reduce((sum, s) => sum + Math.ceil(s.length / PAGE_TOKENS) * PAGE_TOKENS, 0);
}

function grouped(sequences: readonly Int32Array[], most: number): Int32Array[][] {
  const groups: Int32Array[][] = [];
  let tokens = Infinity;
  for (const sequence of sequences) {
    tokens += sequence.length;
    if (tokens > most) {
      groups.push([]);
      tokens = sequence.length;
    }
    groups.at(-1)!.push(sequence);
  }
  return groups;
}
