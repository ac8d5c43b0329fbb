import { identity, matrix, type Matrix } from "@transmla/low-rank";
import type { GroupedAttentionConfig, LatentAttentionConfig } from "@transmla/models";
import type { GroupedWeights, LatentWeights } from "../weights";
import { carriedOver } from "./carried-over";
import { behindHeadNorms } from "./head-norms";

/**
 * The sizes of the exact construction (TransMLA, arXiv 2502.07864): latent `[v_1 … v_g]` and rotated key `[k_1 … k_g]`, each
 * `kvHeads * headDim` numbers, so the cache is that of the original.
 */
export function exactConfig(original: GroupedAttentionConfig): LatentAttentionConfig {
  const { kvHeads, headDim, frequencies, inputBias, outputBias } = original;
  const width = kvHeads * headDim;
  return {
    kind: "mla",
    ...carriedOver(original),
    kvLoraRank: width,
    ropeDim: width,
    nopeDim: 0,
    valueDim: headDim,
    keyUpHeads: kvHeads,
    valueUpHeads: kvHeads,
    frequencies: Float64Array.from({ length: width / 2 }, (_, i) => frequencies[i % (headDim / 2)]),
    queryBias: inputBias,
    latentBias: inputBias,
    outputBias,
  };
}

/**
 * Writes grouped attention as latent attention without changing a logit: the query of head `i` stands in block
 * `a(i) = floor(i * kvHeads / heads)` of the rotated key and is zero elsewhere, its value up-projection selects block `a(i)`.
 * Weights are moved, never multiplied, so no precision is lost.
 */
export function exactLatent(
  weights: GroupedWeights,
  original: GroupedAttentionConfig,
): LatentWeights {
  const { heads, kvHeads, headDim } = original;
  const config = exactConfig(original);
  const width = kvHeads * headDim;
  const ropeKey = matrix(width, weights.key.columns);
  const queryRope = matrix(heads * width, weights.query.columns);
  for (let head = 0; head < kvHeads; head++) {
    copyHead(weights.key, head * headDim, ropeKey, 0, { head, kvHeads, headDim });
  }
  for (let i = 0; i < heads; i++) {
    const head = Math.floor((i * kvHeads) / heads);
    copyHead(weights.query, i * headDim, queryRope, i * width, { head, kvHeads, headDim });
  }
  const latent = {
    config,
    queryRope,
    ropeKey,
    latent: weights.value,
    valueUp: identity(width),
    output: weights.output,
  };
  return behindHeadNorms(latent, weights, original);
}

/**
 * Copies the `headDim` rows of one head into its place of a half-split vector over all key/value heads: real parts of all
 * heads first, then imaginary parts.
 */
function copyHead(
  from: Matrix,
  fromRow: number,
  to: Matrix,
  toRow: number,
  { head, kvHeads, headDim }: { head: number; kvHeads: number; headDim: number },
): void {
  const half = headDim / 2;
  const { columns } = from;
  for (let component = 0; component < headDim; component++) {
    const part = component < half ? 0 : 1;
    const target = toRow + part * kvHeads * half + head * half + (component % half);
    const source = (fromRow + component) * columns;
    to.data.set(from.data.subarray(source, source + columns), target * columns);
  }
}
