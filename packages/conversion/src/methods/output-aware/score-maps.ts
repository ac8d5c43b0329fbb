import {
  columnSlice,
  identity,
  matrix,
  multiply,
  multiplyTransposedLeft,
  rowSlice,
  trace,
  transpose,
  weightedLowRank,
  type Matrix,
} from "@transmla/low-rank";
import type { GroupedAttentionConfig, LatentAttentionConfig } from "@transmla/models";
import { formOf } from "../../features";
import type { GroupedWeights, LatentWeights } from "../../weights";
import { stackRows } from "../joint-compression";
import type { SplitQueries } from "./split";

/**
 * Converted queries as maps of the original ones: `G_i [ropeDim + kvLoraRank, features]` takes the features of head `i`, `[q_i; 1]` or `q_i`
 * alone, to its RoPE query and, below it, its query in the latent space.
 *
 * @param unit what becomes of the features themselves, `[heads * ropeDim, features]` and `[heads * headDim, features]`
 * @param keyUp `[kvHeads * headDim, kvLoraRank]`
 */
export function startingMaps(
  { heads, kvHeads, headDim }: GroupedAttentionConfig,
  unit: SplitQueries,
  keyUp: Matrix,
): Matrix[] {
  const ropeDim = unit.queryRope.rows / heads;
  return Array.from({ length: heads }, (_, i) => {
    const group = Math.floor((i * kvHeads) / heads);
    const up = rowSlice(keyUp, group * headDim, (group + 1) * headDim);
    const nope = rowSlice(unit.queryNope, i * headDim, (i + 1) * headDim);
    const rope = rowSlice(unit.queryRope, i * ropeDim, (i + 1) * ropeDim);
    return stackRows(rope, multiplyTransposedLeft(up, nope));
  });
}

/** The features of head `i` from `x~`: its query rows and, if wanted, a row that picks the 1, `[features, hidden + 1]`. */
export function featureMap(
  query: Matrix,
  head: number,
  { headDim, constant }: { readonly headDim: number; readonly constant: boolean },
): Matrix {
  const rows = rowSlice(query, head * headDim, (head + 1) * headDim);
  if (!constant) return rows;
  const one = matrix(1, query.columns);
  one.data[query.columns - 1] = 1;
  return stackRows(rows, one);
}

/** `E[f_i f_i^T]` of every head's features, `[features, features]` each. */
export function featureMoments(
  query: Matrix,
  { heads, headDim }: Pick<GroupedAttentionConfig, "heads" | "headDim">,
  queryMoment: Matrix,
  constant: boolean,
): Matrix[] {
  return Array.from({ length: heads }, (_, i) =>
    formOf(featureMap(query, i, { headDim, constant }), queryMoment),
  );
}

/**
 * Puts query maps `G_i` into a layer's weights. What reaches the latent is cut back to rank `nopeDim`, in the metric of the latent's
 * covariance and of `E[f_i f_i^T]`: `G_i = keyUp_i^T nope_i`.
 *
 * @param config with `keyUpHeads = heads`
 * @param latentCovariance `[kvLoraRank, kvLoraRank]`; a constant part of the keys changes no softmax
 * @param moments see `featureMoments`
 */
export function withQueryMaps(
  weights: Omit<LatentWeights, "queryNope" | "queryRope">,
  config: LatentAttentionConfig,
  { query }: Pick<GroupedWeights, "query">,
  maps: readonly Matrix[],
  { latentCovariance, moments }: MapMetrics,
): LatentWeights {
  const { heads, nopeDim, ropeDim } = config;
  const headDim = query.rows / heads;
  const rank = weights.latent.rows;
  // The largest matrices of a layer: filled in place.
  const queryRope = matrix(heads * ropeDim, query.columns);
  const queryNope = matrix(heads * nopeDim, query.columns);
  const keyUp = matrix(heads * nopeDim, rank);
  // Of keys that are zero nothing is measured: then all directions of the latent count alike.
  const metric = trace(latentCovariance) > 0 ? latentCovariance : identity(rank);
  for (const [i, map] of maps.entries()) {
    const features = featureMap(query, i, { headDim, constant: map.columns > headDim });
    setRows(queryRope, i * ropeDim, multiply(rowSlice(map, 0, ropeDim), features));
    const { down, up } = weightedLowRank({
      covariance: moments[i],
      weight: rowSlice(map, ropeDim),
      metric,
      rank: Math.min(nopeDim, rank),
    });
    setRows(queryNope, i * nopeDim, multiply(down, features));
    setRows(keyUp, i * nopeDim, transpose(up));
  }
  return { ...weights, config, queryRope, queryNope, keyUp };
}

/** By what errors of query maps are measured. */
export interface MapMetrics {
  readonly latentCovariance: Matrix;
  readonly moments: readonly Matrix[];
}

/** Covariance of `rows x~` from `E[x~ x~^T]`. */
export function covarianceOf(rows: Matrix, inputMoment: Matrix): Matrix {
  const images = multiply(rows, inputMoment);
  const mean = columnSlice(images, images.columns - 1).data;
  const moment = multiply(images, transpose(rows));
  const n = rows.rows;
  const covariance = matrix(n, n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const both = (moment.data[i * n + j] + moment.data[j * n + i]) / 2;
      covariance.data[i * n + j] = both - mean[i] * mean[j];
    }
  }
  return covariance;
}

/** Writes the rows of `part` to those of `m` from `first` on. */
function setRows(m: Matrix, first: number, part: Matrix): void {
  m.data.set(part.data, first * m.columns);
}
