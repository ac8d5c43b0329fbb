import { columnSlice, identity, matrix, rowSlice, type Matrix } from "@transmla/low-rank";
import {
  attentionTensors,
  deepseekTensors,
  LATENT_NORM_EPSILON,
  modelTensors,
  type LatentAttentionConfig,
} from "@transmla/models";
import { latentTensors, type LatentWeights, type NamedTensor } from "../weights";
import { checkDeepseek, deepseekConfig, stockLayer } from "./deepseek-config";
import type { OutputFormat } from "./format";
import { neutralNorm } from "./neutral-norm";

/**
 * The layout of `DeepseekV3ForCausalLM`, which stock Hugging Face transformers loads without custom code
 * (docs/formats/deepseek.md). What the stock attention does otherwise is undone by the weights: its norms by a constant channel, its softmax
 * scale by the queries, the missing query bias by a low-rank query of full rank.
 */
export const deepseekFormat: OutputFormat = {
  needs: { standardLadder: true, latentChannels: 1 },
  check: checkDeepseek,
  layerConfig: stockLayer,
  tensors(config) {
    const attention = config.layers[0].attention as LatentAttentionConfig;
    return deepseekTensors(modelTensors(config), attention, true);
  },
  layerTensors(weights, gains, prefix) {
    const stock = stockWeights(weights, gains);
    const hidden = stock.output.rows;
    return fused(latentTensors(stock, prefix), stock.config, hidden, prefix);
  },
  config: deepseekConfig,
};

/** The weights with which the stock attention computes what `weights` do. */
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

/** Blocks that groups of heads share, repeated for every head. */
function perHead(blocks: Matrix, count: number, heads: number): Matrix {
  const size = blocks.rows / count;
  const result = matrix(heads * size, blocks.columns);
  for (let i = 0; i < heads; i++) {
    const at = Math.floor((i * count) / heads) * size;
    result.data.set(rowSlice(blocks, at, at + size).data, i * size * blocks.columns);
  }
  return result;
}

const scaled = (m: Matrix, factor: number): Matrix =>
  matrix(
    m.rows,
    m.columns,
    m.data.map((value) => factor * value),
  );

/** A matrix with one more column, of zeros unless given. */
function withColumn({ rows, columns, data }: Matrix, column?: Float64Array): Matrix {
  const result = matrix(rows, columns + 1);
  for (let row = 0; row < rows; row++) {
    result.data.set(data.subarray(row * columns, (row + 1) * columns), row * (columns + 1));
    if (column) result.data[row * (columns + 1) + columns] = column[row];
  }
  return result;
}

/** Our tensors of a layer's attention laid together as the DeepSeek layout stores them. */
function fused(
  ours: readonly NamedTensor[],
  config: LatentAttentionConfig,
  hidden: number,
  prefix: string,
): NamedTensor[] {
  const byName = new Map(ours.map((tensor) => [tensor.name, tensor]));
  const specs = attentionTensors(config, hidden, prefix);
  return deepseekTensors(specs, config, true).map(({ name, shape, parts }) => {
    if (!parts) return byName.get(name)!;
    const width = shape[1] ?? 1;
    const values = new Float64Array(shape[0] * width);
    for (const part of parts) {
      const source = byName.get(part.name)!.values;
      for (const [row, target] of part.rows.entries()) {
        values.set(source.subarray(row * width, (row + 1) * width), target * width);
      }
    }
    return { name, shape, values };
  });
}
