import { columnSlice, identity, type Matrix } from "@transmla/low-rank";
import { LATENT_NORM_EPSILON, type LatentAttentionConfig } from "@transmla/models";
import type { LatentWeights } from "../weights";
import { deepseekLayout } from "./deepseek-layout";
import { perHead, scaled, withColumn } from "../matrices";
import { neutralNorm } from "./neutral-norm";

/**
 * The DeepSeek layout with attention biases, as stock Hugging Face transformers has them: what the stock attention does otherwise is undone by the
 * weights, to rounding. Its norms by a constant channel, its softmax scale by the queries, the missing query bias by a low-rank query of full
 * rank.
 */
export const deepseekFormat = deepseekLayout({
  layerConfig: stockLayer,
  layerWeights: async (weights, { gains }) => stockWeights(weights, gains),
});

/** The stock attention that carries a converted layer: a constant channel in the latent, biases, all heads' up-projections. */
export function stockLayer(
  config: LatentAttentionConfig,
  hiddenSize: number,
): LatentAttentionConfig {
  const { heads, nopeDim, ropeDim, queryBias, qLoraRank } = config;
  const lowRankQuery = queryBias || qLoraRank !== undefined;
  return {
    ...config,
    scale: 1 / Math.sqrt(nopeDim + ropeDim),
    window: undefined,
    kvLoraRank: config.kvLoraRank + 1,
    keyUpHeads: heads,
    valueUpHeads: heads,
    latentNormEpsilon: LATENT_NORM_EPSILON,
    latentBias: true,
    outputBias: true,
    queryBias: false,
    qLoraRank: lowRankQuery ? (qLoraRank ?? hiddenSize) + 1 : undefined,
    queryNormEpsilon: lowRankQuery ? LATENT_NORM_EPSILON : undefined,
    queryDownBias: lowRankQuery,
  };
}

/** The weights with which the stock attention computes what `weights` do. @param gains weights of the norm before it, `[hidden]` */
export function stockWeights(weights: LatentWeights, gains: ArrayLike<number>): LatentWeights {
  const { config } = weights;
  const written = stockLayer(config, gains.length);
  const latent = neutralNorm(weights.latent, gains, LATENT_NORM_EPSILON);
  // Nothing reads the constant channel, so it is cached as 0 and disturbs no cache of few bits.
  const latentNorm = new Float64Array(latent.down.rows).fill(latent.weight);
  latentNorm[latent.down.rows - 1] = 0;
  const up = (blocks: Matrix, count: number) =>
    withColumn(perHead(scaled(blocks, latent.factor), count, config.heads));
  return {
    ...weights,
    ...stockQueries(weights, gains, config.scale / written.scale),
    config: written,
    latent: latent.down,
    latentNorm,
    keyUp: up(weights.keyUp!, config.keyUpHeads),
    valueUp: up(weights.valueUp, config.valueUpHeads),
  };
}

/** Dense queries where there is no bias to carry; else two factors with a neutral norm, whose constant channel carries it. */
function stockQueries(
  { config, queryDown, queryNope, queryRope }: LatentWeights,
  gains: ArrayLike<number>,
  scale: number,
): Partial<LatentWeights> {
  if (!queryDown && !config.queryBias) {
    return { queryNope: scaled(queryNope!, scale), queryRope: scaled(queryRope!, scale) };
  }
  const norm = neutralNorm(
    withColumn(queryDown ?? identity(gains.length)),
    gains,
    LATENT_NORM_EPSILON,
  );
  // `[basis | bias]` becomes `[basis | bias | 0]`: no bias of its own, its column multiplies the constant channel.
  const up = (m: Matrix) => {
    const basis = scaled(columnSlice(m, 0, m.columns - 1), scale * norm.factor);
    const bias = scaled(columnSlice(m, m.columns - 1), scale * norm.constantFactor);
    return withColumn(withColumn(basis, bias.data));
  };
  return {
    queryDown: columnSlice(norm.down, 0, norm.down.columns - 1),
    queryDownBias: columnSlice(norm.down, norm.down.columns - 1).data,
    queryNorm: new Float64Array(norm.down.rows).fill(norm.weight),
    queryNope: up(queryNope!),
    queryRope: up(queryRope!),
  };
}
