import {
  type GroupedAttentionLayer,
  loadDecoderLayer,
  WeightLoader,
  type DecoderLayer,
  type GroupedAttentionConfig,
} from "@transmla/models";
import type { CalibrationStream } from "../../calibration-stream";
import { compressedSizes, invalid } from "../../sizes";
import { readGroupedWeights, type LatentWeights } from "../../weights";
import type { ConversionJob, ConversionMethod, ConvertedLayer, LayerConverter } from "../method";
import { ParallelStreams, type OriginalBatch } from "../parallel-streams";
import { ExpectedPhase, phaseValues, type ExpectedPhases } from "./expected-phase";
import { outputAwareConfig, outputAwareWeights } from "./output-aware";
import { refitLayerScores } from "./layer-scores";
import { OutputRefit, tokenWeights } from "./output-refit";
import { withDefaults } from "./steps";

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
    return { ...sizes, standardLadder, steps: withDefaults(options.steps) };
  },

  /** Which frequencies are kept is known after calibration; until then the highest stand for them. */
  layerConfig(original, sizes) {
    const { frequencies } = original;
    const first = Float64Array.from(
      { length: sizes.ropeDim / 2 },
      (_, pair) => frequencies[pair % frequencies.length],
    );
    return outputAwareConfig(original, sizes, first, withDefaults(sizes.steps));
  },

  start: async (job) => new OutputAwareConverter(job, await ParallelStreams.start(job)),
};

/** Converts layer by layer on the stream of the model converted so far, or on the original's without step `sequential`. */
class OutputAwareConverter implements LayerConverter {
  private readonly steps;

  constructor(
    private readonly job: ConversionJob,
    private readonly streams: ParallelStreams,
  ) {
    this.steps = withDefaults(job.sizes.steps);
  }

  get warnings(): readonly string[] {
    return this.streams.warnings;
  }

  resume(layer: number, converted: ConvertedLayer): Promise<void> {
    return this.streams.advanceBoth(layer, converted);
  }

  async convert(layer: number): Promise<ConvertedLayer> {
    const { streams, steps } = this;
    const { files, device, sizes, encode, signal } = this.job;
    const loader = new WeightLoader(device, files.checkpoint, signal);
    try {
      const decoder = await loadDecoderLayer(loader, files.config, layer);
      const original = files.config.layers[layer].attention as GroupedAttentionConfig;
      const grouped = await readGroupedWeights(files.checkpoint, original, layer);
      const input = asItIs(steps.sequential ? streams.converted : streams.original);
      const inputMoment = await streams.inputMoment(input, decoder);
      const phases = await this.expectedPhases(input, decoder, original);
      const initial = outputAwareWeights(grouped, original, inputMoment, phases, sizes, steps);
      const fitted = steps.scoreRefit
        ? await refitLayerScores(streams, decoder, input, { grouped, original, initial, inputMoment })
        : initial.weights;
      const did = await streams.advanceOriginal(layer, decoder);
      const output = steps.outputRefit
        ? await this.refitOutput(layer, input, decoder, fitted, did)
        : fitted.output;
      const weights = { ...fitted, output };
      const tensors = encode(layer, weights);
      const { config } = weights;
      const outputError = await streams.advanceConverted(layer, decoder, config, tensors, did);
      return { weights, keptEnergy: initial.keptEnergy, outputError };
    } finally {
      loader.release();
    }
  }

  /** The original attention's phases on a layer's input. */
  private async expectedPhases(
    input: CalibrationStream,
    decoder: DecoderLayer,
    original: GroupedAttentionConfig,
  ): Promise<ExpectedPhases> {
    const { runner } = this.streams;
    const { device } = this.job;
    const attention = decoder.attention as GroupedAttentionLayer;
    const { kvHeads, headDim, frequencies } = original;
    const expected = new ExpectedPhase(original);
    const positionsOf: Int32Array[] = [];
    await runner.eachBatch(
      input,
      { planes: attention.planes, frequencies },
      ({ x, positions, context }) => {
        positionsOf.push(positions);
        const [, values] = context.pools;
        const rows = phaseValues(positions, original);
        const shape = [positions.length, kvHeads * headDim] as const;
        device.writePages(values, device.tensor(rows, shape), context.slots);
        return [attention.mixOver(decoder.attentionInput(x), context, values)];
      },
      (batch, [mixed]) => expected.add(mixed, positionsOf[batch]),
    );
    return expected.phases();
  }

  /** The output projection that brings the stream of `input` closest to the original's. */
  private async refitOutput(
    layer: number,
    input: CalibrationStream,
    decoder: DecoderLayer,
    weights: LatentWeights,
    original: readonly OriginalBatch[],
  ): Promise<LatentWeights["output"]> {
    const { runner } = this.streams;
    const { encode } = this.job;
    const { config } = weights;
    const refit = new OutputRefit(weights.output.columns - 1, weights.output.rows);
    await this.streams.withAttention(layer, config, encode(layer, weights), (attention) =>
      runner.eachBatch(
        input,
        { planes: attention.planes, frequencies: config.frequencies },
        ({ x, context }) => [attention.mix(decoder.attentionInput(x), context)],
        (batch, [mixed]) => {
          const { before, output } = original[batch];
          const { states } = input.batches[batch];
          const wanted = output.map((value, i) => before[i] + value);
          const counts = tokenWeights(wanted, weights.output.rows, this.steps.normAware);
          refit.add(
            mixed,
            wanted.map((value, i) => value - states[i]),
            counts,
          );
        },
      ),
    );
    return refit.solve(weights.output);
  }
}

/** The stream where it is now: it stays when the other moves on. */
function asItIs({ batches }: CalibrationStream): CalibrationStream {
  return { batches: batches.map((batch) => ({ ...batch })) };
}
