import {
  columnSlice,
  matrix,
  multiply,
  rowSlice,
  symmetricForm,
  transpose,
  type Matrix,
} from "@transmla/low-rank";
import type { GroupedAttentionConfig, LatentAttentionConfig } from "@transmla/models";
import type { GroupedWeights, LatentWeights } from "../weights";
import { carriedOver } from "./carried-over";
import { behindHeadNorms } from "./head-norms";
import {
  balanceRatio,
  fullLatent,
  jointCompression,
  lowRankQuery,
  meanRowNorm,
} from "./joint-compression";
import { roRope, type RoRope } from "./ro-rope";

/** Position-free keys of this part of all keys' norm are what float32 activations left of a rotation that takes everything. */
const ROUNDING = 1e-6;

/** Sizes of one converted layer. */
export interface TransmlaSizes {
  readonly ropeDim: number;
  readonly freqFold: number;
  /** Absent: only the rotations are dropped, nothing is compressed. */
  readonly kvLoraRank?: number | undefined;
  readonly qLoraRank?: number | undefined;
}

/** The converted attention: of every kept pair `p` the frequency `p * headDim / ropeDim` of the original (see `roRope`). */
export function transmlaConfig(
  original: GroupedAttentionConfig,
  { ropeDim, qLoraRank }: Pick<TransmlaSizes, "ropeDim" | "qLoraRank">,
  kvLoraRank: number,
): LatentAttentionConfig {
  const { kvHeads, headDim, frequencies, inputBias, outputBias } = original;
  const collapse = headDim / ropeDim;
  return {
    kind: "mla",
    ...carriedOver(original),
    kvLoraRank,
    ropeDim,
    qLoraRank,
    nopeDim: headDim,
    valueDim: headDim,
    keyUpHeads: kvHeads,
    valueUpHeads: kvHeads,
    frequencies: Float64Array.from(
      { length: ropeDim / 2 },
      (_, pair) => frequencies[pair * collapse],
    ),
    queryBias: inputBias,
    latentBias: inputBias,
    outputBias,
  };
}

/** The rotation of a layer's keys, from the second moment of its input `x~`. */
export function transmlaRotation(
  weights: GroupedWeights,
  original: GroupedAttentionConfig,
  inputMoment: Matrix,
  { ropeDim, freqFold }: TransmlaSizes,
): RoRope {
  const { kvHeads, headDim } = original;
  return roRope(symmetricForm(weights.key, inputMoment), { kvHeads, headDim, ropeDim, freqFold });
}

/**
 * The published conversion of one layer (arXiv 2502.07864): rotate keys across heads, keep the rotation of the leading
 * components, compress the others together with the values.
 *
 * With the rotation `R = [R_rope; R_nope]` the keys are `k' = R k` and the key of head `a` is `R[:, a]^T k'`. The query of
 * head `i` therefore becomes `R_rope[:, a(i)] q_i` for the rotated part, and the position-free part goes through the up-projection
 * `R_nope[:, a]^T`, shared within a group.
 *
 * @param inputMoment `E[x~ x~^T]` at this layer of the model whose keys and values are to be compressed.
 */
export function transmlaLatent(
  weights: GroupedWeights,
  original: GroupedAttentionConfig,
  { rotation }: RoRope,
  inputMoment: Matrix,
  sizes: TransmlaSizes,
): { readonly weights: LatentWeights; readonly keptEnergy: number } {
  const { heads, kvHeads, headDim } = original;
  const { ropeDim, kvLoraRank, qLoraRank } = sizes;
  const rotated = multiply(rotation, weights.key);
  const nopeKeys = rowSlice(rotated, ropeDim);
  const rounding = ROUNDING * meanRowNorm(rotated, inputMoment);
  const ratio = balanceRatio(nopeKeys, weights.value, inputMoment, rounding);
  const joint = kvLoraRank
    ? jointCompression(nopeKeys, weights.value, inputMoment, kvLoraRank, ratio)
    : fullLatent(nopeKeys, weights.value);
  const lowRank = qLoraRank ? lowRankQuery(weights.query, inputMoment, qLoraRank) : undefined;
  const query = lowRank ? withBiasOf(lowRank.basis, weights.query) : weights.query;
  const latent = {
    config: transmlaConfig(original, sizes, joint.down.rows),
    queryDown: lowRank?.down,
    queryNope: query,
    queryRope: rotatedQueries(query, rowSlice(rotation, 0, ropeDim), { heads, kvHeads, headDim }),
    latent: joint.down,
    ropeKey: rowSlice(rotated, 0, ropeDim),
    keyUp: multiply(transpose(rowSlice(rotation, ropeDim)), joint.keyUp),
    valueUp: joint.valueUp,
    output: weights.output,
  };
  return {
    keptEnergy: joint.keptEnergy,
    weights: behindHeadNorms(latent, weights, original),
  };
}

/** `R_rope[:, a(i)] q_i` of every head: `[heads * ropeDim, columns]`. */
function rotatedQueries(
  query: Matrix,
  ropeRows: Matrix,
  { heads, kvHeads, headDim }: { heads: number; kvHeads: number; headDim: number },
): Matrix {
  const result = matrix(heads * ropeRows.rows, query.columns);
  for (let i = 0; i < heads; i++) {
    const head = Math.floor((i * kvHeads) / heads);
    const block = columnSlice(ropeRows, head * headDim, (head + 1) * headDim);
    const rows = multiply(block, rowSlice(query, i * headDim, (i + 1) * headDim));
    result.data.set(rows.data, i * ropeRows.rows * query.columns);
  }
  return result;
}

/** `[basis | bias]`: the second factor of a low-rank query with the original bias. */
function withBiasOf(basis: Matrix, query: Matrix): Matrix {
  const result = matrix(basis.rows, basis.columns + 1);
  for (let row = 0; row < basis.rows; row++) {
    const start = row * basis.columns;
    result.data.set(basis.data.subarray(start, start + basis.columns), row * result.columns);
    result.data[(row + 1) * result.columns - 1] = query.data[(row + 1) * query.columns - 1];
  }
  return result;
}
