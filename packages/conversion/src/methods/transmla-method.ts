import { eigh, type Matrix } from "@transmla/low-rank";
import {
  attentionPrefix,
  loadAttention,
  loadDecoderLayer,
  WeightLoader,
  type DecoderLayer,
  type GroupedAttentionConfig,
  type LatentAttentionConfig,
} from "@transmla/models";
import {
  CalibrationRunner,
  type AttentionUnderTest,
  type CalibrationStream,
} from "../calibration-stream";
import { memoryCheckpoint, type EncodedTensor } from "../memory-checkpoint";
import { compressedSizes, invalid } from "../sizes";
import { readGroupedWeights } from "../weights";
import { chooseFreqFold } from "./choose-freq-fold";
import type { ConversionJob, ConversionMethod, ConvertedLayer, LayerConverter } from "./method";
import { freqFoldCandidates } from "./ro-rope";
import { embedCalibration } from "./stream-ends";
import { transmlaConfig, transmlaLatent, transmlaRotation } from "./transmla";

/** RoRoPE, FreqFold and balanced joint PCA (arXiv 2502.07864). */
export const transmlaMethod: ConversionMethod = {
  needsCalibration: true,

  sizes(original, options) {
    const { headDim } = original;
    const sizes = compressedSizes(original, options, ropeDims(original));
    const freqFold = options.freqFold ?? "auto";
    const folds = freqFoldCandidates(headDim, sizes.ropeDim);
    if (freqFold !== "auto" && !folds.includes(freqFold)) {
      throw invalid(
        `freqFold ${freqFold} is not possible with ropeDim ${sizes.ropeDim}; possible: auto, ${folds.join(", ")}.`,
        { freqFold, folds },
      );
    }
    const { qLoraRank } = options;
    const queryRows = original.heads * headDim;
    if (
      qLoraRank !== undefined &&
      !(Number.isSafeInteger(qLoraRank) && qLoraRank >= 1 && qLoraRank <= queryRows)
    ) {
      throw invalid(`qLoraRank must lie between 1 and ${queryRows}, got ${qLoraRank}.`, {
        qLoraRank,
      });
    }
    return { ...sizes, freqFold, qLoraRank };
  },

  layerConfig: (original, sizes) => transmlaConfig(original, sizes, sizes.kvLoraRank),

  async start(job) {
    const freqFold = job.sizes.freqFold === "auto" ? await chooseFreqFold(job) : job.sizes.freqFold;
    return TransmlaConverter.start(job, freqFold);
  },
};

/** Rotated dimensions the layout allows: divisors of a head that leave whole pairs and some position-free keys. */
function ropeDims({ kvHeads, headDim }: GroupedAttentionConfig): number[] {
  const dims = Array.from({ length: headDim / 2 }, (_, i) => 2 * (i + 1));
  return dims.filter(
    (dim) =>
      headDim % dim === 0 && dim < kvHeads * headDim && freqFoldCandidates(headDim, dim).length > 0,
  );
}

/**
 * Converts layer by layer on two streams: rotations come from the keys of the original model, the compression from the model
 * converted so far, whose layers see what earlier layers have lost.
 */
class TransmlaConverter implements LayerConverter {
  readonly warnings: string[] = [];

  private constructor(
    private readonly job: ConversionJob,
    readonly freqFold: number,
    private readonly runner: CalibrationRunner,
    private readonly originalStream: CalibrationStream,
    private readonly convertedStream: CalibrationStream,
  ) {}

  static async start(job: ConversionJob, freqFold: number): Promise<TransmlaConverter> {
    const { device, files, calibration, signal } = job;
    const runner = new CalibrationRunner(device, files.config, signal);
    const original = await embedCalibration(job, runner, calibration);
    const converted = { batches: original.batches.map((batch) => ({ ...batch })) };
    return new TransmlaConverter(job, freqFold, runner, original, converted);
  }

  async convert(layer: number): Promise<ConvertedLayer> {
    const { files, device, sizes, encode, signal } = this.job;
    const loader = new WeightLoader(device, files.checkpoint, signal);
    try {
      const decoder = await loadDecoderLayer(loader, files.config, layer);
      const original = files.config.layers[layer].attention as GroupedAttentionConfig;
      const grouped = await readGroupedWeights(files.checkpoint, original, layer);
      const layerSizes = { ...sizes, freqFold: this.freqFold };
      const keyMoment = await this.runner.inputMoment(this.originalStream, decoder);
      if (layer === 0) this.warnIfTooFew(keyMoment);
      const rotation = transmlaRotation(grouped, original, keyMoment, layerSizes);
      const inputMoment = await this.runner.inputMoment(this.convertedStream, decoder);
      const { weights, keptEnergy } = transmlaLatent(
        grouped,
        original,
        rotation,
        inputMoment,
        layerSizes,
      );
      const tensors = encode(layer, weights);
      const outputError = await this.advance(layer, decoder, weights.config, tensors);
      return { config: weights.config, tensors, keptEnergy, outputError };
    } finally {
      loader.release();
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

  /** Moves both streams past the layer and returns the relative error of the attention's output. */
  private async advance(
    layer: number,
    decoder: DecoderLayer,
    config: LatentAttentionConfig,
    tensors: readonly EncodedTensor[],
  ): Promise<number> {
    const { files, device } = this.job;
    const checkpoint = await memoryCheckpoint(tensors);
    const loader = new WeightLoader(device, checkpoint);
    try {
      const original = { layer: decoder.attention, config: files.config.layers[layer].attention };
      const latent = await loadAttention(loader, config, attentionPrefix(layer));
      const converted: AttentionUnderTest = { layer: latent, config };
      const outputs: Float32Array[] = [];
      await this.runner.advance(this.originalStream, decoder, original, (_, output) =>
        outputs.push(output),
      );
      let difference = 0;
      let energy = 0;
      await this.runner.advance(this.convertedStream, decoder, converted, (batch, output) => {
        const reference = outputs[batch];
        for (const [i, value] of output.entries()) {
          difference += (value - reference[i]) ** 2;
          energy += reference[i] ** 2;
        }
      });
      return energy > 0 ? difference / energy : 0;
    } finally {
      loader.release();
      await checkpoint.close();
    }
  }
}
