import type { Device } from "@transmla/kernels";
import { eigh, type Matrix } from "@transmla/low-rank";
import {
  attentionPrefix,
  loadAttention,
  loadDecoderLayer,
  WeightLoader,
  type AttentionLayer,
  type DecoderLayer,
  type LatentAttentionConfig,
} from "@transmla/models";
import {
  CalibrationRunner,
  type CalibrationStream,
  type StreamOptions,
} from "../calibration-stream";
import type { MeasuredInput } from "../formats/format";
import type { FeatureMoments } from "../features";
import { memoryCheckpoint, type EncodedTensor } from "../memory-checkpoint";
import type { ConversionJob, ConvertedLayer } from "./method";
import { embedCalibration } from "./stream-ends";

/** What the original attention did to one batch, `[tokens, hidden]` each. */
export interface OriginalBatch {
  /** The residual stream before the attention. */
  readonly before: Float32Array;
  /** What the attention adds to it. */
  readonly output: Float32Array;
}

/** A converted attention in the bytes that will be written. */
export interface ConvertedAttention {
  readonly config: LatentAttentionConfig;
  readonly tensors: readonly EncodedTensor[];
  /** See `AttentionUnderTest`. */
  readonly mixed?: readonly Float32Array[] | undefined;
}

/** The calibration text on its way through the original model and, beside it, through the model converted so far. */
export class ParallelStreams {
  /** What makes the result doubtful, in words. */
  readonly warnings: string[] = [];

  private constructor(
    private readonly job: ConversionJob,
    readonly runner: CalibrationRunner,
    readonly original: CalibrationStream,
    readonly converted: CalibrationStream,
  ) {}

  get device(): Device {
    return this.job.device;
  }

  /** Both streams after the embedding. */
  static async start(job: ConversionJob, options?: StreamOptions): Promise<ParallelStreams> {
    const { device, files, calibration, signal } = job;
    const runner = new CalibrationRunner(device, files.config, signal);
    const original = await embedCalibration(job, runner, calibration, options);
    const converted = { batches: original.batches.map((batch) => ({ ...batch })) };
    return new ParallelStreams(job, runner, original, converted);
  }

  /** Second moments of a layer's attention in one of the streams; warns once if there are fewer tokens than dimensions. */
  async moments(stream: CalibrationStream, decoder: DecoderLayer): Promise<FeatureMoments> {
    const moments = await this.runner.moments(stream, decoder);
    if (this.warnings.length === 0) this.warnIfTooFew(moments.key);
    return moments;
  }

  /** What keys and values of a layer are made of, as output formats ask for it, `moment` being known. */
  measuredInput(stream: CalibrationStream, decoder: DecoderLayer, moment: Matrix): MeasuredInput {
    const samples = async (tokens: number) => {
      const keys: Float32Array[] = [];
      for await (const { key } of this.runner.sequenceFeatures(stream, decoder, tokens)) {
        keys.push(key);
      }
      return keys;
    };
    return { moment, samples };
  }

  /** Moves the original's stream past a layer and returns what its attention did. */
  async advanceOriginal(layer: number, decoder: DecoderLayer): Promise<OriginalBatch[]> {
    const { attention: config } = this.job.files.config.layers[layer];
    const batches: OriginalBatch[] = [];
    await this.runner.advance(
      this.original,
      decoder,
      { layer: decoder.attention, config },
      (_, before, output) => batches.push({ before, output }),
    );
    return batches;
  }

  /**
   * Moves the converted model's stream past a layer and returns `E|o' - o|^2 / E|o|^2` of the attention's output, `o` being the
   * original's.
   */
  async advanceConverted(
    layer: number,
    decoder: DecoderLayer,
    { config, tensors, mixed }: ConvertedAttention,
    original: readonly OriginalBatch[],
  ): Promise<number> {
    let difference = 0;
    let energy = 0;
    await this.withAttention(layer, config, tensors, (attention) =>
      this.runner.advance(
        this.converted,
        decoder,
        { layer: attention, config, mixed },
        (batch, _, output) => {
          const reference = original[batch].output;
          for (let i = 0; i < output.length; i++) {
            difference += (output[i] - reference[i]) ** 2;
            energy += reference[i] ** 2;
          }
        },
      ),
    );
    return energy > 0 ? difference / energy : 0;
  }

  /** Moves both streams past a layer that was converted before. */
  async advanceBoth(layer: number, { weights }: ConvertedLayer): Promise<void> {
    const { device, files, encode, signal } = this.job;
    const loader = new WeightLoader(device, files.checkpoint, signal);
    try {
      const decoder = await loadDecoderLayer(loader, files.config, layer);
      const did = await this.advanceOriginal(layer, decoder);
      const tensors = encode(layer, weights);
      await this.advanceConverted(layer, decoder, { config: weights.config, tensors }, did);
    } finally {
      loader.release();
    }
  }

  /** Loads a converted attention from the bytes that will be written, for as long as `body` runs. */
  async withAttention<Value>(
    layer: number,
    config: LatentAttentionConfig,
    tensors: readonly EncodedTensor[],
    body: (attention: AttentionLayer) => Promise<Value>,
  ): Promise<Value> {
    const checkpoint = await memoryCheckpoint(tensors);
    const loader = new WeightLoader(this.job.device, checkpoint);
    try {
      return await body(await loadAttention(loader, config, attentionPrefix(layer)));
    } finally {
      loader.release();
      await checkpoint.close();
    }
  }

  /** Fewer tokens than dimensions leave directions unmeasured, which the compression then throws away. */
  private warnIfTooFew(inputMoment: Matrix): void {
    const { calibration } = this.job;
    const tokens = calibration.reduce((sum, { length }) => sum + length, 0);
    if (tokens >= inputMoment.rows) return;
    const { values } = eigh(inputMoment);
    const condition = values[0] / Math.max(values[values.length - 1], Number.MIN_VALUE);
    this.warnings.push(
      `${tokens} calibration tokens cannot measure ${inputMoment.rows} dimensions ` +
        `(condition number ${condition.toExponential(1)}); use at least ${inputMoment.rows}, better many times as many.`,
    );
  }
}
