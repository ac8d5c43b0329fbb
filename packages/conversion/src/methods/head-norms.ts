import {
  columnSlice,
  matrix,
  multiplyTransposedLeft,
  rowSlice,
  type Matrix,
} from "@transmla/low-rank";
import {
  headNormsOf,
  type GroupedAttentionConfig,
  type LatentAttentionConfig,
} from "@transmla/models";
import { unbiased } from "../features";
import type { GroupedWeights, LatentWeights } from "../weights";

/** The attention that a method makes of an original, with the norms of the original's heads in front of it where it has them. */
export function withHeadNorms(
  config: LatentAttentionConfig,
  original: GroupedAttentionConfig,
): LatentAttentionConfig {
  const headNorms = headNormsOf(original);
  if (!headNorms) return config;
  const positionFree = config.nopeDim > 0;
  return {
    ...config,
    headNorms,
    // Position-free queries are the heads themselves: what a head does with its query is in its up-projection.
    nopeDim: positionFree ? original.headDim : 0,
    keyUpHeads: positionFree ? original.heads : config.keyUpHeads,
    queryBias: false,
  };
}

/**
 * Takes a converted attention of the features (`OfFeatures`) apart into what the native format stores: projections and norms of the
 * original's heads as they were, maps of queries, of keys and of the input. `q~_i = B_i q^_i` joins the up-projection that it meets,
 * `B_i^T U_a(i)`.
 */
export function behindHeadNorms(
  latent: LatentWeights,
  { headNorms }: GroupedWeights,
  original: GroupedAttentionConfig,
): LatentWeights {
  if (!headNorms) return latent;
  const config = withHeadNorms(latent.config, original);
  const keys = original.kvHeads * original.headDim;
  const { ropeKey, queryRope, queryNope, keyUp } = latent;
  return {
    ...headNorms,
    config,
    queryRope,
    ropeKey: ropeKey && unbiased(ropeKey, keys),
    keyLatent: queryNope && columnSlice(latent.latent, 0, keys),
    latent: columnSlice(latent.latent, keys),
    keyUp: queryNope && keyUp && upOfHeads(queryNope, keyUp, latent.config, original),
    valueUp: latent.valueUp,
    output: latent.output,
  };
}

/** `B_i^T U_a(i)` of every head, `[heads * headDim, kvLoraRank]`. */
function upOfHeads(
  queryNope: Matrix,
  keyUp: Matrix,
  { heads, nopeDim, keyUpHeads }: LatentAttentionConfig,
  { headDim }: GroupedAttentionConfig,
): Matrix {
  const result = matrix(heads * headDim, keyUp.columns);
  for (let i = 0; i < heads; i++) {
    const block = Math.floor((i * keyUpHeads) / heads);
    const rows = rowSlice(queryNope, i * nopeDim, (i + 1) * nopeDim);
    const own = columnSlice(rows, i * headDim, (i + 1) * headDim);
    const up = rowSlice(keyUp, block * nopeDim, (block + 1) * nopeDim);
    result.data.set(multiplyTransposedLeft(own, up).data, i * headDim * keyUp.columns);
  }
  return result;
}
