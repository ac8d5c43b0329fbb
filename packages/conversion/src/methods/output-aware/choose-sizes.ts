import { cacheNumbersPerToken, type GroupedAttentionConfig } from "@transmla/models";
import type { ChosenSizes, LayerSizes } from "../../options";
import type { ConversionJob } from "../method";
import { allocate, type MeasuredSizes } from "./allocate";
import { reaches } from "./ladder";
import { eachTrial, type Trial, type TrialError } from "./trial";

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

/**
 * Chooses sizes by the error of the attention's output on held-out sequences, in one pass over some calibration text: how much of the cache
 * is rotated, at which ladder of frequencies where there must be one, and the size of every layer where they may differ.
 */
export async function chooseSizes(job: ConversionJob): Promise<ChosenSizes> {
  const { ropeDimCandidates = [], ladderSteps = [], layersDiffer } = job.sizes;
  const { ropeDim: given, kvLoraRank } = job.sizes;
  const layers = job.files.config.layers.length;
  const original = job.files.config.layers[0].attention as GroupedAttentionConfig;
  const budget = kvLoraRank + given;
  const splits = new TrialErrors(ropeDimCandidates);
  const ladders = new TrialErrors(ladderSteps);
  const sizes = new LayerSizeErrors(job, budget);
  const sampled = splits.open || ladders.open ? sampledLayers(layers) : new Set<number>();
  const ropeDim = () => splits.best ?? given;
  await eachTrial(
    job,
    layersDiffer
      ? { phase: "choosing sizes", tried: new Set(Array.from({ length: layers }, (_, i) => i)) }
      : { phase: "choosing the split", tried: sampled },
    async (layer, trial) => {
      if (sampled.has(layer)) {
        await splits.measure((dim) => trial({ ropeDim: dim, kvLoraRank: budget - dim }, {}));
        const split = { ropeDim: ropeDim(), kvLoraRank: budget - ropeDim() };
        await ladders.measure((ladderStep) =>
          reaches(original, split.ropeDim / 2, ladderStep)
            ? trial({ ...split, ladderStep }, {})
            : undefined,
        );
      }
      if (layersDiffer) await sizes.measure(layer, trial, ropeDim() / budget);
    },
  );
  return {
    ropeDim: ropeDim(),
    ladderStep: ladders.best,
    layers: layersDiffer ? sizes.best(ropeDim() / budget) : undefined,
  };
}

/** The layers that are tried where all have the same. */
function sampledLayers(layers: number): ReadonlySet<number> {
  return new Set(DEPTHS.map((depth) => Math.min(layers - 1, Math.floor(depth * layers))));
}

/** Errors of candidates, each relative to the output, summed over the layers that are tried. */
class TrialErrors {
  private readonly errors: number[];

  constructor(private readonly candidates: readonly number[]) {
    this.errors = candidates.map(() => 0);
  }

  /** Whether there is anything to choose. */
  get open(): boolean {
    return this.candidates.length > 1;
  }

  /** @param trial nothing for a candidate that is impossible */
  async measure(trial: (candidate: number) => Promise<TrialError> | undefined): Promise<void> {
    if (!this.open) return;
    for (const [index, candidate] of this.candidates.entries()) {
      const error = await trial(candidate);
      this.errors[index] += error ? error.difference / (error.energy + Number.MIN_VALUE) : Infinity;
    }
  }

  /** The best so far; before the first layer is tried the first: the least rotated part, the highest frequencies. */
  get best(): number | undefined {
    return this.candidates[this.errors.indexOf(Math.min(...this.errors))];
  }
}

/**
 * How large the cache of every layer is, `budget` numbers in the mean. Every layer is converted with a few sizes, of which the part is rotated
 * that seems best by then; the errors, in the tokens' weights relative to the residual stream they join, make a table from which the best division follows. Equal
 * sizes are one of those divisions. The trials leave the score refit out, which costs most of the time and changes all sizes alike.
 */
class LayerSizeErrors {
  private readonly table: MeasuredSizes[] = [];

  constructor(
    private readonly job: ConversionJob,
    private readonly budget: number,
  ) {}

  /** @param share part of the cache that is rotated */
  async measure(layer: number, trial: Trial, share: number): Promise<void> {
    const { budget } = this;
    const most = cacheNumbersPerToken(this.job.files.config.layers[layer].attention);
    const numbers = FACTORS.map((factor) =>
      Math.min(most, Math.max(LEAST_NUMBERS, Math.round(factor * budget))),
    );
    const sizes = [...new Set(numbers)];
    const errors: number[] = [];
    for (const size of sizes) {
      const { difference } = await trial(this.sizesWith(size, share), { scoreRefit: false });
      errors.push(difference);
    }
    this.table.push({ sizes, errors });
  }

  /** Sizes of all layers with `share` of the cache rotated. */
  best(share: number): LayerSizes[] {
    const step = 2 * Math.ceil(this.budget / (2 * STEPS));
    return allocate(this.table, this.budget, step).map((size) => this.sizesWith(size, share));
  }

  private sizesWith(numbers: number, share: number): LayerSizes {
    const { kvHeads, headDim } = this.job.files.config.layers[0]
      .attention as GroupedAttentionConfig;
    // Some keys are left to the latent, and at least one number.
    const mostPairs = Math.min(kvHeads * headDim - 2, numbers - 1) >> 1;
    const ropeDim = Math.min(pairsOf(share * numbers), 2 * mostPairs);
    return { ropeDim, kvLoraRank: numbers - ropeDim };
  }
}
