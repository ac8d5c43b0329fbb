import { multiply, rowSlice, columnSlice, matrix, type Matrix } from "@transmla/low-rank";
import type { GroupedAttentionConfig, LatentAttentionConfig } from "@transmla/models";
import type { FeatureMoments } from "../../features";
import type { GroupedWeights, LatentWeights } from "../../weights";
import { carriedOver } from "../carried-over";
import type { ExpectedPhases } from "./expected-phase";
import { outputAwareLatent, queryMetric } from "./factorisation";
import { ladderComponents, ladderFrequencies } from "./ladder";
import { complexRotations, queryEnergies, type FrequencyRotation } from "./rotations";
import { selectRotated } from "./selection";
import { featureMoments, startingMaps } from "./score-maps";
import { splitKeys, splitQueries, type SplitQueries } from "./split";
import { allSteps, type OutputAwareSteps } from "./steps";

/** Sizes of one converted layer. */
export interface OutputAwareSizes {
  readonly ropeDim: number;
  readonly kvLoraRank: number;
  /** Rotate a ladder of frequencies once each, in every layer the same, where a format can say no others (`ladder.ts`). */
  readonly standardLadder?: boolean | undefined;
  /** Default 1. */
  readonly ladderStep?: number | undefined;
}

/** The converted attention; which frequencies are kept is known after calibration only. */
export function outputAwareConfig(
  original: GroupedAttentionConfig,
  sizes: OutputAwareSizes,
  frequencies: Float64Array,
  { scoreRefit }: Pick<OutputAwareSteps, "scoreRefit">,
): LatentAttentionConfig {
  const { ropeDim, kvLoraRank } = sizes;
  const { heads, kvHeads, headDim, inputBias } = original;
  return {
    kind: "mla",
    ...carriedOver(original),
    kvLoraRank,
    ropeDim,
    // Fitted queries are a head's own, and of the latent's rank at most. The stock layout keeps the size of a head.
    nopeDim: scoreRefit && !sizes.standardLadder ? Math.min(headDim, kvLoraRank) : headDim,
    valueDim: headDim,
    keyUpHeads: scoreRefit ? heads : kvHeads,
    valueUpHeads: kvHeads,
    frequencies,
    queryBias: inputBias || (scoreRefit && fitsConstant(original, sizes)),
    latentBias: inputBias,
    // Centring the values leaves their mean to it.
    outputBias: true,
  };
}

/**
 * Whether fitted queries may have a constant part. The formats that need a standard ladder have no place for a query bias, or pay for
 * one with another projection. Normalised queries meet the latent as they are.
 */
export function fitsConstant(
  { headNormEpsilon }: GroupedAttentionConfig,
  { standardLadder = false }: OutputAwareSizes,
): boolean {
  return !standardLadder && headNormEpsilon === undefined;
}

/** A layer converted from its statistics, before anything is fitted. */
export interface InitialWeights {
  readonly weights: Omit<LatentWeights, "queryNope" | "queryRope">;
  /** The queries, which are large and not needed where they are fitted. */
  readonly queries: () => SplitQueries;
  /** The same queries as maps `G_i` of the original ones, per head `[ropeDim + kvLoraRank, features]`, see `startingMaps`. */
  readonly queryMaps: readonly Matrix[];
  /** Part of the weighted energy that the latent keeps. */
  readonly keptEnergy: number;
}

/** What the statistics of a layer say whatever its sizes. */
export interface LayerStatistics {
  /** `E[x~ x~^T]` of what keys and values are made of. */
  readonly keyMoment: Matrix;
  /** See `featureMoments`. */
  readonly featureMoments: readonly Matrix[];
  /** See `queryEnergies`. */
  readonly energies: Float64Array;
  readonly rotations: readonly FrequencyRotation[];
  readonly phases: ExpectedPhases;
}

/** @param constant see `fitsConstant` */
export function layerStatistics(
  weights: GroupedWeights,
  original: GroupedAttentionConfig,
  { query, key }: FeatureMoments,
  phases: ExpectedPhases,
  { constant, steps }: { readonly constant: boolean; readonly steps: OutputAwareSteps },
): LayerStatistics {
  const moments = featureMoments(weights.query, original, query, constant);
  const energies = queryEnergies(moments, original);
  const rotations = complexRotations(weights, original, key, energies, steps);
  return { keyMoment: key, featureMoments: moments, energies, rotations, phases };
}

/**
 * Converts one layer from its statistics: of the keys rotated across heads (`complexRotations`) it keeps the rotation of the components whose
 * logits need it (`selectRotated`), gives the others their expected phase (`splitKeys`, `splitQueries`) and compresses them together with the
 * values (`outputAwareLatent`).
 */
export function outputAwareWeights(
  weights: GroupedWeights,
  original: GroupedAttentionConfig,
  { keyMoment, featureMoments: moments, energies, rotations, phases }: LayerStatistics,
  sizes: OutputAwareSizes,
  steps: OutputAwareSteps = allSteps,
): InitialWeights {
  const squares = phases.re.map((re, index) => re ** 2 + phases.im[index] ** 2);
  const pairs = sizes.ropeDim / 2;
  const { standardLadder, ladderStep = 1 } = sizes;
  const kept = standardLadder
    ? ladderComponents(pairs, ladderStep)
    : selectRotated(rotations, energies, squares, original, pairs, steps);
  const split = splitKeys(weights, original, rotations, kept);
  const queriesOf = (query: Matrix) =>
    splitQueries(query, original, rotations, kept, phases, steps);
  const unit = queriesOf(unitQueries(original, sizes));
  const metrics = {
    nopeKeys: split.nopeKeys,
    keyMetric: queryMetric(unit.queryNope, moments, original),
  };
  const { kvLoraRank } = sizes;
  const latent = outputAwareLatent(weights, original, metrics, keyMoment, kvLoraRank, steps);
  const frequencies = standardLadder
    ? ladderFrequencies(original, pairs, ladderStep)
    : Float64Array.from(split.frequencyIndex, (index) => original.frequencies[index]);
  return {
    keptEnergy: latent.keptEnergy,
    queryMaps: startingMaps(original, unit, latent.keyUp),
    queries: () => queriesOf(weights.query),
    weights: {
      config: outputAwareConfig(original, sizes, frequencies, { scoreRefit: false }),
      latent: latent.down,
      ropeKey: split.ropeKey,
      keyUp: latent.keyUp,
      valueUp: latent.valueUp,
      output: withOffset(weights.output, original, latent.valueOffset),
    },
  };
}

/** Query weights for which every head's features are the input, `[heads * headDim, features]`. */
function unitQueries(original: GroupedAttentionConfig, sizes: OutputAwareSizes): Matrix {
  const { heads, headDim } = original;
  const queries = matrix(heads * headDim, headDim + (fitsConstant(original, sizes) ? 1 : 0));
  for (let row = 0; row < queries.rows; row++) {
    queries.data[row * queries.columns + (row % headDim)] = 1;
  }
  return queries;
}

/** Adds `sum_i Wo_i offset_a(i)` to the output bias. */
function withOffset(
  output: Matrix,
  { heads, kvHeads, headDim }: GroupedAttentionConfig,
  offset: Float64Array,
): Matrix {
  const result = matrix(output.rows, output.columns, output.data.slice());
  const offsets = matrix(offset.length, 1, offset);
  for (let i = 0; i < heads; i++) {
    const group = Math.floor((i * kvHeads) / heads);
    const columns = columnSlice(output, i * headDim, (i + 1) * headDim);
    const share = multiply(columns, rowSlice(offsets, group * headDim, (group + 1) * headDim));
    for (let row = 0; row < output.rows; row++) {
      result.data[(row + 1) * output.columns - 1] += share.data[row];
    }
  }
  return result;
}
