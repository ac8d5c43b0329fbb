import { cacheNumbersPerToken, loadDecoderLayer, WeightLoader } from "@transmla/models";
import type { ChosenSizes, LayerSizes } from "../../options";
import type { LatentWeights } from "../../weights";
import type { ConversionProgress } from "../../progress";
import type { ConversionJob } from "../method";
import { ParallelStreams } from "../parallel-streams";
import { allocate, type MeasuredSizes } from "./allocate";
import { LayerFit, type LayerUnderFit } from "./layer-fit";
import { outputTarget } from "./output-refit";
import { withDefaults, type OutputAwareSteps } from "./steps";

/** Parts of the cache that may be rotated. */
const SHARES = [1 / 6, 1 / 4, 3 / 8, 1 / 2];
/** Depths of the layers that are tried with them, as parts of the model. */
const DEPTHS = [1 / 5, 1 / 2, 4 / 5];
/** Sizes that every layer is tried with, as parts of the mean. */
const FACTORS = [3 / 5, 1, 5 / 3];
/** Steps in which sizes are given out, at most from the mean down. */
const STEPS = 64;
/** Calibration tokens for a trial, and the part of their sequences that judges. */
const TRIAL_TOKENS = 5120;
const HELD_OUT = 1 / 5;

/** Values of `ropeDim` worth trying for a cache of `budget` numbers per token, up to `largest`. */
export function splitCandidates(budget: number, largest: number): number[] {
  const dims = SHARES.map((share) => pairsOf(share * budget));
  return [...new Set(dims)].filter((dim) => dim <= Math.min(largest, budget - 1));
}

/** The nearest even number from 2. */
function pairsOf(dims: number): number {
  return 2 * Math.max(1, Math.round(dims / 2));
}

/** Chooses sizes by the error of the attention's output on held-out sequences: first how much is rotated, then the size of every layer. */
export async function chooseSizes(job: ConversionJob): Promise<ChosenSizes> {
  const {
    ropeDimCandidates: candidates = [],
    layersDiffer,
    ropeDim: given,
    kvLoraRank,
  } = job.sizes;
  const budget = kvLoraRank + given;
  const ropeDim =
    candidates.length < 2 ? (candidates[0] ?? given) : await chooseSplit(job, candidates);
  if (!layersDiffer) return { ropeDim };
  return { ropeDim, layers: await chooseLayerSizes(job, budget, ropeDim / budget) };
}

/**
 * How much of the cache carries rotated keys and how much the latent. Some layers are converted with every candidate; the error relative
 * to the output decides by its mean over the layers.
 */
async function chooseSplit(job: ConversionJob, candidates: readonly number[]): Promise<number> {
  const budget = job.sizes.kvLoraRank + job.sizes.ropeDim;
  const layers = job.files.config.layers.length;
  const tried = new Set(DEPTHS.map((depth) => Math.min(layers - 1, Math.floor(depth * layers))));
  const errors = candidates.map(() => 0);
  await eachTrial(job, { phase: "choosing the split", tried, steps: {} }, async (_, trial) => {
    for (const [index, ropeDim] of candidates.entries()) {
      const { difference, energy } = await trial({ ropeDim, kvLoraRank: budget - ropeDim });
      errors[index] += difference / (energy + Number.MIN_VALUE);
    }
  });
  return candidates[errors.indexOf(Math.min(...errors))];
}

/**
 * How large the cache of every layer is, `budget` numbers in the mean, of which `share` are rotated. Every layer is converted with a few
 * sizes; the errors, in the tokens' weights relative to the residual stream they join, make a table from which the best division follows.
 * Equal sizes are one of those divisions. The trials leave the score refit out, which costs most of the time and changes all sizes alike.
 */
async function chooseLayerSizes(
  job: ConversionJob,
  budget: number,
  share: number,
): Promise<LayerSizes[]> {
  const { layers } = job.files.config;
  const sizesWith = (numbers: number): LayerSizes => {
    const ropeDim = Math.min(pairsOf(share * numbers), 2 * Math.floor((numbers - 1) / 2));
    return { ropeDim, kvLoraRank: numbers - ropeDim };
  };
  const table: MeasuredSizes[] = [];
  const tried = new Set(layers.keys());
  const steps = { scoreRefit: false };
  await eachTrial(job, { phase: "choosing sizes", tried, steps }, async (layer, trial) => {
    const most = cacheNumbersPerToken(layers[layer].attention) - 2;
    const numbers = FACTORS.map((factor) =>
      Math.min(most, Math.max(3, Math.round(factor * budget))),
    );
    const sizes = [...new Set(numbers)];
    const errors: number[] = [];
    for (const size of sizes) errors.push((await trial(sizesWith(size))).difference);
    table.push({ sizes, errors });
  });
  const step = 2 * Math.ceil(budget / (2 * STEPS));
  return allocate(table, budget, step).map(sizesWith);
}

/** Square error of a layer's output on held-out sequences and its square, summed in the weights of tokens. */
interface TrialError {
  readonly difference: number;
  readonly energy: number;
}

/** Runs `body` for some layers of the original, with a function that converts the layer to given sizes and judges the result. */
async function eachTrial(
  job: ConversionJob,
  {
    phase,
    tried,
    steps: changes,
  }: {
    readonly phase: ConversionProgress["phase"];
    readonly tried: ReadonlySet<number>;
    readonly steps: Partial<OutputAwareSteps>;
  },
  body: (layer: number, trial: (sizes: LayerSizes) => Promise<TrialError>) => Promise<void>,
): Promise<void> {
  const { fitted, held } = trialSequences(job.calibration);
  const fit = await ParallelStreams.start({ ...job, calibration: fitted });
  const judge = await ParallelStreams.start({ ...job, calibration: held });
  // Whatever is left out, a trial sees the original's stream only: nothing is converted before it.
  const steps = { ...withDefaults(job.sizes.steps), ...changes, sequential: false };
  const last = Math.max(...tried);
  for (let layer = 0; layer <= last; layer++) {
    const loader = new WeightLoader(job.device, job.files.checkpoint, job.signal);
    try {
      const decoder = await loadDecoderLayer(loader, job.files.config, layer);
      const under = { layer, decoder, steps };
      if (tried.has(layer)) {
        const layerFit = await LayerFit.measure(job, fit, under);
        const heldOut = await HeldOut.measure(job, judge, under);
        await body(layer, async (sizes) => {
          const { weights } = await layerFit.fit({ ...job.sizes, ...sizes });
          return heldOut.error(weights);
        });
      } else {
        await fit.advanceOriginal(layer, decoder);
        await judge.advanceOriginal(layer, decoder);
      }
    } finally {
      loader.release();
    }
    job.onProgress({ phase, done: layer + 1, total: last + 1, unit: "layers" });
  }
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

  /** `sum w |o' - o|^2` and `sum w |o|^2` of the attention's output with weights of the output refit. */
  async error(weights: LatentWeights): Promise<TrialError> {
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
          const { weights: counts } = outputTarget(this.did[batch], before, {
            hidden,
            normalised: decoder.normalisesOutput,
            normAware: steps.normAware,
          });
          for (const [i, value] of converted.entries()) {
            const weight = counts[Math.floor(i / hidden)];
            difference += weight * (value - output[i]) ** 2;
            energy += weight * output[i] ** 2;
          }
        },
      ),
    );
    return { difference, energy };
  }
}
