import { cacheNumbersPerToken, type GroupedAttentionConfig } from "@transmla/models";
import type { ChosenSizes, LayerSizes } from "../../options";
import type { ConversionJob } from "../method";
import { allocate, type MeasuredSizes } from "./allocate";
import { eachTrial } from "./trial";

/** Parts of the cache that may be rotated. */
const SHARES = [1 / 6, 1 / 4, 3 / 8, 1 / 2];
/** Depths of the layers that are tried with them, as parts of the model. */
const DEPTHS = [1 / 5, 1 / 2, 4 / 5];
/** Sizes that every layer is tried with, as parts of the mean. */
const FACTORS = [3 / 5, 1, 5 / 3];
/** Sizes are given out in steps, an even number of dimensions each, of which the mean has at most so many. */
const STEPS = 64;

/** A pair of rotated dimensions and a latent of one. */
const LEAST_NUMBERS = 3;

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
  const { kvHeads, headDim } = layers[0].attention as GroupedAttentionConfig;
  // Some keys are left to the latent, and at least one number.
  const mostPairs = (numbers: number) => Math.min(kvHeads * headDim - 2, numbers - 1) >> 1;
  const sizesWith = (numbers: number): LayerSizes => {
    const ropeDim = Math.min(pairsOf(share * numbers), 2 * mostPairs(numbers));
    return { ropeDim, kvLoraRank: numbers - ropeDim };
  };
  const table: MeasuredSizes[] = [];
  const tried = new Set(layers.keys());
  const steps = { scoreRefit: false };
  await eachTrial(job, { phase: "choosing sizes", tried, steps }, async (layer, trial) => {
    const most = cacheNumbersPerToken(layers[layer].attention);
    const numbers = FACTORS.map((factor) =>
      Math.min(most, Math.max(LEAST_NUMBERS, Math.round(factor * budget))),
    );
    const sizes = [...new Set(numbers)];
    const errors: number[] = [];
    for (const size of sizes) errors.push((await trial(sizesWith(size))).difference);
    table.push({ sizes, errors });
  });
  const step = 2 * Math.ceil(budget / (2 * STEPS));
  return allocate(table, budget, step).map(sizesWith);
}
