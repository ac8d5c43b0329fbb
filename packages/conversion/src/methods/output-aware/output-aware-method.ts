import { loadDecoderLayer, WeightLoader } from "@transmla/models";
import { sizesOfLayer, type LatentSizes } from "../../options";
import { compressedSizes, invalid } from "../../sizes";
import type { ConversionJob, ConversionMethod, ConvertedLayer, LayerConverter } from "../method";
import { ParallelStreams } from "../parallel-streams";
import { chooseSizes, splitCandidates } from "./choose-sizes";
import { LayerFit } from "./layer-fit";
import { ladderStepsOf } from "./ladder";
import { outputAwareConfig } from "./output-aware";
import { withDefaults, type OutputAwareSteps } from "./steps";

/** Our method: complex query-aware rotations, expected phase, output-aware factorisation, output refit. */
export const outputAwareMethod: ConversionMethod = {
  needsCalibration: true,

  sizes(original, options, { standardLadder }) {
    if (options.freqFold !== undefined) {
      throw invalid("The output-aware method folds no frequencies; leave freqFold out.");
    }
    if (options.qLoraRank !== undefined) {
      throw invalid("The output-aware method keeps queries dense; leave qLoraRank out.");
    }
    const { kvHeads, headDim } = original;
    // Any whole number of pairs, as long as some keys are left for the latent; a ladder has every frequency once.
    const keyPairs = (kvHeads * headDim) / 2 - 1;
    const pairs = standardLadder ? Math.min(headDim / 2, keyPairs) : keyPairs;
    const ropeDims = Array.from({ length: pairs }, (_, i) => 2 * (i + 1));
    const sizes = compressedSizes(original, options, ropeDims);
    const chosen = { ...sizes, standardLadder, steps: withDefaults(options.steps) };
    const { splitByLoss, sizesByLoss } = chosen.steps;
    const ladderSteps = standardLadder && splitByLoss ? ladderStepsOf(original) : undefined;
    if (options.ropeDim !== undefined) return { ...chosen, ladderSteps };
    const budget = sizes.kvLoraRank + sizes.ropeDim;
    const candidates = splitCandidates(budget, ropeDims.at(-1)!);
    return {
      ...chosen,
      ropeDimCandidates: splitByLoss ? candidates : undefined,
      ladderSteps,
      layersDiffer: sizesByLoss && !standardLadder,
    };
  },

  chooseSizes,

  /** Which frequencies are kept is known after calibration; until then the highest stand for them. */
  layerConfig(original, sizes) {
    const { frequencies } = original;
    const first = Float64Array.from(
      { length: sizes.ropeDim / 2 },
      (_, pair) => frequencies[pair % frequencies.length],
    );
    return outputAwareConfig(original, sizes, first, withDefaults(sizes.steps));
  },

  async start(job) {
    const steps = withDefaults(job.sizes.steps);
    return new OutputAwareConverter(job, await ParallelStreams.start(job, steps), steps);
  },
};

/** Converts layer by layer on the stream of the model converted so far, or on the original's without step `sequential`. */
class OutputAwareConverter implements LayerConverter {
  constructor(
    private readonly job: ConversionJob,
    private readonly streams: ParallelStreams,
    private readonly steps: OutputAwareSteps,
  ) {}

  get warnings(): readonly string[] {
    return this.streams.warnings;
  }

  get choices(): Partial<LatentSizes> {
    const { ropeDim, ladderStep, layers } = this.job.sizes;
    return { ropeDim, ladderStep, layers };
  }

  resume(layer: number, converted: ConvertedLayer): Promise<void> {
    return this.streams.advanceBoth(layer, converted);
  }

  async convert(layer: number): Promise<ConvertedLayer> {
    const { streams, steps, job } = this;
    const { files, device, sizes, encode, signal } = job;
    const loader = new WeightLoader(device, files.checkpoint, signal);
    try {
      const decoder = await loadDecoderLayer(loader, files.config, layer);
      const fit = await LayerFit.measure(job, streams, { layer, decoder, steps });
      const { weights, keptEnergy, mixed } = await fit.fit(sizesOfLayer(sizes, layer));
      const converted = { config: weights.config, tensors: encode(layer, weights), mixed };
      const outputError = await streams.advanceConverted(layer, decoder, converted, fit.did);
      return { weights, keptEnergy, outputError };
    } finally {
      loader.release();
    }
  }
}
