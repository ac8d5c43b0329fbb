import { loadDecoderLayer, WeightLoader, type GroupedAttentionConfig } from "@transmla/models";
import { compressedSizes, invalid } from "../sizes";
import { readGroupedWeights } from "../weights";
import { chooseFreqFold } from "./choose-freq-fold";
import type { ConversionJob, ConversionMethod, ConvertedLayer, LayerConverter } from "./method";
import { ParallelStreams } from "./parallel-streams";
import { freqFoldCandidates } from "./ro-rope";
import { transmlaConfig, transmlaLatent, transmlaRotation } from "./transmla";

/** RoRoPE, FreqFold and balanced joint PCA (arXiv 2502.07864). */
export const transmlaMethod: ConversionMethod = {
  needsCalibration: true,

  sizes(original, options) {
    if (options.steps !== undefined) {
      throw invalid("The transmla method is one piece; leave steps out.");
    }
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
    if (qLoraRank !== undefined && original.headNormEpsilon !== undefined) {
      throw invalid(
        "Queries whose heads are normalised (q_norm) are not of low rank in the input; leave qLoraRank out.",
        { qLoraRank },
      );
    }
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
    const { freqFold: wanted = "auto" } = job.sizes;
    const freqFold = wanted === "auto" ? await chooseFreqFold(job) : wanted;
    return new TransmlaConverter(job, await ParallelStreams.start(job), freqFold);
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
  constructor(
    private readonly job: ConversionJob,
    private readonly streams: ParallelStreams,
    readonly freqFold: number,
  ) {}

  get warnings(): readonly string[] {
    return this.streams.warnings;
  }

  get choices() {
    return { freqFold: this.freqFold };
  }

  resume(layer: number, converted: ConvertedLayer): Promise<void> {
    return this.streams.advanceBoth(layer, converted);
  }

  async convert(layer: number): Promise<ConvertedLayer> {
    const { streams } = this;
    const { files, device, sizes, written, encode, signal } = this.job;
    const loader = new WeightLoader(device, files.checkpoint, signal);
    try {
      const decoder = await loadDecoderLayer(loader, files.config, layer);
      const original = files.config.layers[layer].attention as GroupedAttentionConfig;
      const grouped = await readGroupedWeights(files.checkpoint, original, layer);
      const layerSizes = { ...sizes, freqFold: this.freqFold };
      const before = await streams.moments(streams.original, decoder);
      const rotation = transmlaRotation(grouped, original, before.key, layerSizes);
      const moments = await streams.moments(streams.converted, decoder);
      const latent = transmlaLatent(grouped, original, rotation, moments.key, layerSizes);
      const { keptEnergy } = latent;
      const input = streams.measuredInput(streams.converted, decoder, moments.key);
      const weights = await written(layer, latent.weights, input);
      const tensors = encode(layer, weights);
      const { config } = weights;
      const did = await streams.advanceOriginal(layer, decoder);
      const outputError = await streams.advanceConverted(layer, decoder, { config, tensors }, did);
      return { weights, keptEnergy, outputError };
    } finally {
      loader.release();
    }
  }
}
