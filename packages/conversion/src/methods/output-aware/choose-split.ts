import { loadDecoderLayer, WeightLoader } from "@transmla/models";
import type { LatentWeights } from "../../weights";
import type { ConversionJob } from "../method";
import { ParallelStreams } from "../parallel-streams";
import { LayerFit, type LayerUnderFit } from "./layer-fit";
import { tokenWeights } from "./output-refit";
import { withDefaults } from "./steps";

/** Parts of the cache that may be rotated. */
const SHARES = [1 / 6, 1 / 4, 3 / 8, 1 / 2];
/** Depths of the layers that are tried, as parts of the model. */
const DEPTHS = [1 / 5, 1 / 2, 4 / 5];
/** Calibration tokens for a trial, and the part of their sequences that judges. */
const TRIAL_TOKENS = 5120;
const HELD_OUT = 1 / 5;

/** Values of `ropeDim` worth trying for a cache of `budget` numbers per token, up to `largest`. */
export function splitCandidates(budget: number, largest: number): number[] {
  const dims = SHARES.map((share) => 2 * Math.max(1, Math.round((share * budget) / 2)));
  return [...new Set(dims)].filter((dim) => dim <= Math.min(largest, budget - 1));
}

/**
 * Chooses how much of the cache carries rotated keys and how much the latent. Some layers of the original are converted with every
 * candidate on a part of the calibration text; the error of their output on held-out sequences, in the tokens' weights of the output
 * refit and relative to the output, decides by its mean over the layers.
 */
export async function chooseSplit(job: ConversionJob): Promise<number> {
  const { ropeDimCandidates: candidates = [], ...sizes } = job.sizes;
  if (candidates.length < 2) return candidates[0] ?? sizes.ropeDim;
  const budget = sizes.kvLoraRank + sizes.ropeDim;
  const sizesWith = (ropeDim: number) => ({ ...sizes, ropeDim, kvLoraRank: budget - ropeDim });
  const { fitted, held } = trialSequences(job.calibration);
  const fit = await ParallelStreams.start({ ...job, calibration: fitted });
  const judge = await ParallelStreams.start({ ...job, calibration: held });
  const layers = job.files.config.layers.length;
  const tried = new Set(DEPTHS.map((depth) => Math.min(layers - 1, Math.floor(depth * layers))));
  const last = Math.max(...tried);
  // Whatever is left out, a trial sees the original's stream only: nothing is converted before it.
  const steps = { ...withDefaults(sizes.steps), sequential: false };
  const errors = candidates.map(() => 0);
  for (let layer = 0; layer <= last; layer++) {
    const loader = new WeightLoader(job.device, job.files.checkpoint, job.signal);
    try {
      const decoder = await loadDecoderLayer(loader, job.files.config, layer);
      const under = { layer, decoder, steps };
      if (tried.has(layer)) {
        const layerFit = await LayerFit.measure(job, fit, under);
        const trial = await HeldOut.measure(job, judge, under);
        for (const [index, ropeDim] of candidates.entries()) {
          const { weights } = await layerFit.fit(sizesWith(ropeDim));
          errors[index] += await trial.error(weights);
        }
      } else {
        await fit.advanceOriginal(layer, decoder);
        await judge.advanceOriginal(layer, decoder);
      }
    } finally {
      loader.release();
    }
    job.onProgress({
      phase: "choosing the split",
      done: layer + 1,
      total: last + 1,
      unit: "layers",
    });
  }
  return candidates[errors.indexOf(Math.min(...errors))];
}

/** Sequences to fit and to judge with, at least one of each. */
function trialSequences(calibration: readonly Int32Array[]): {
  fitted: readonly Int32Array[];
  held: readonly Int32Array[];
} {
  const longest = Math.max(...calibration.map(({ length }) => length));
  const count = Math.min(calibration.length, Math.max(2, Math.floor(TRIAL_TOKENS / longest)));
  const judging = Math.max(1, Math.round(count * HELD_OUT));
  const used = calibration.slice(0, count);
  return { fitted: used.slice(judging), held: used.slice(0, judging) };
}

/** A layer on text that it was not fitted to. */
class HeldOut {
  private constructor(
    private readonly job: ConversionJob,
    private readonly streams: ParallelStreams,
    private readonly under: LayerUnderFit,
    private readonly before: ParallelStreams["original"],
    private readonly did: Awaited<ReturnType<ParallelStreams["advanceOriginal"]>>,
  ) {}

  /** Takes in what the original does and moves its stream past the layer. */
  static async measure(
    job: ConversionJob,
    streams: ParallelStreams,
    under: LayerUnderFit,
  ): Promise<HeldOut> {
    const before = { batches: streams.original.batches.map((batch) => ({ ...batch })) };
    const did = await streams.advanceOriginal(under.layer, under.decoder);
    return new HeldOut(job, streams, under, before, did);
  }

  /** `E[w |o' - o|^2] / E[w |o|^2]` of the attention's output with weights of the output refit. */
  async error(weights: LatentWeights): Promise<number> {
    const { layer, decoder, steps } = this.under;
    const { config } = weights;
    const hidden = weights.output.rows;
    let difference = 0;
    let energy = 0;
    await this.streams.withAttention(layer, config, this.job.encode(layer, weights), (attention) =>
      this.streams.runner.eachBatch(
        this.before,
        { planes: attention.planes, frequencies: config.frequencies },
        ({ x, context }) => [attention.forward(decoder.attentionInput(x), context)],
        (batch, [converted]) => {
          const { before, output } = this.did[batch];
          const stream = output.map((value, i) => before[i] + value);
          const counts = tokenWeights(stream, hidden, steps.normAware);
          for (const [i, value] of converted.entries()) {
            const weight = counts[Math.floor(i / hidden)];
            difference += weight * (value - output[i]) ** 2;
            energy += weight * output[i] ** 2;
          }
        },
      ),
    );
    return difference / (energy + Number.MIN_VALUE);
  }
}
