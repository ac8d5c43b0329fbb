import {
  columnSlice,
  gram,
  multiply,
  multiplyTransposedLeft,
  rowSlice,
  solveSymmetric,
  transpose,
  type Matrix,
} from "@transmla/low-rank";
import type { LatentAttentionConfig } from "@transmla/models";
import { stackRows } from "../methods/joint-compression";
import type { LatentWeights } from "../weights";
import { constantLength } from "./constant-form";
import { stockLayer } from "./deepseek";
import { refused } from "./deepseek-config";
import { deepseekLayout } from "./deepseek-layout";
import type { FormatModel, LayerInput, MeasuredInput } from "./format";
import { perHead, scaled, withColumn } from "../matrices";

const OTHERS = "the deepseek format, which has biases, or the native one";
/** Ridge for what is solved here, relative to the mean of the diagonal. */
const RIDGE = 1e-8;
/** The same for moments of calibration text, which are summed in float32: eigenvalues below are rounding and may be negative. */
const MOMENT_RIDGE = 1e-5;

/**
 * The DeepSeek layout without a single bias, for engines that give its attention none (llama.cpp, vLLM, SGLang). The channels of the latent are
 * mixed so that its norm is nearly neutral. One channel more is the linear functional of the input that is nearest to 1; it carries what the
 * output bias was, through the values.
 */
export const deepseekBiasFreeFormat = deepseekLayout({
  check: refuseInputBiases,
  layerConfig: biasFreeLayer,
  layerWeights: biasFreeWeights,
});

function biasFreeLayer(config: LatentAttentionConfig, hiddenSize: number): LatentAttentionConfig {
  const { qLoraRank } = config;
  const queryDownBias = qLoraRank === undefined ? undefined : false;
  const stock = stockLayer(config, hiddenSize);
  return { ...stock, qLoraRank, latentBias: false, outputBias: false, queryDownBias };
}

function refuseInputBiases({ config: { layers } }: FormatModel): void {
  for (const { attention } of layers) {
    const { latentBias, queryBias } = attention as LatentAttentionConfig;
    if (latentBias || queryBias) {
      throw refused("deepseek-bias-free", "biases of queries and keys", OTHERS);
    }
  }
}

/** The bias-free weights nearest to `weights` on the calibration text. */
async function biasFreeWeights(
  weights: LatentWeights,
  { gains, measured }: LayerInput,
): Promise<LatentWeights> {
  if (!measured)
    throw refused("deepseek-bias-free", "a layer that nothing was measured of", OTHERS);
  const { config } = weights;
  const written = biasFreeLayer(config, gains.length);
  const channels = stackRows(withoutBias(weights.latent), nearlyOne(measured.moment));
  const { down, unmix } = await constantLength(channels, measured);
  const up = (blocks: Matrix, count: number, offset?: Float64Array) =>
    multiply(withColumn(perHead(blocks, count, config.heads), offset), unmix);
  return {
    ...weights,
    ...(await biasFreeQueries(weights, measured, config.scale / written.scale)),
    config: written,
    latent: down,
    latentNorm: new Float64Array(down.rows).fill(1),
    keyUp: up(weights.keyUp!, config.keyUpHeads),
    valueUp: up(weights.valueUp, config.valueUpHeads, valueOffset(weights.output)),
    output: withoutBias(weights.output),
  };
}

/** Dense queries, or two factors around a norm. */
async function biasFreeQueries(
  { queryDown, queryNope, queryRope }: LatentWeights,
  measured: MeasuredInput,
  scale: number,
): Promise<Partial<LatentWeights>> {
  if (!queryDown) {
    return { queryNope: scaled(queryNope!, scale), queryRope: scaled(queryRope!, scale) };
  }
  const { down, unmix } = await constantLength(withColumn(queryDown), measured);
  const up = (m: Matrix) => {
    const basis = columnSlice(m, 0, m.columns - 1);
    return withColumn(multiply(scaled(basis, scale), unmix));
  };
  return {
    queryDown: columnSlice(down, 0, down.columns - 1),
    queryNorm: new Float64Array(down.rows).fill(1),
    queryNope: up(queryNope!),
    queryRope: up(queryRope!),
  };
}

/** The linear functional nearest to 1, `w = E[x x^T]^-1 E[x]`, as a row without bias, `[1, hidden + 1]`. */
export function nearlyOne(moment: Matrix): Matrix {
  const inputs = moment.rows - 1;
  const second = columnSlice(rowSlice(moment, 0, inputs), 0, inputs);
  const mean = rowSlice(columnSlice(moment, inputs), 0, inputs);
  return withColumn(transpose(solveSymmetric(second, mean, { ridge: MOMENT_RIDGE })));
}

/** What added to the heads' values gives the output bias, `[heads * valueDim]`: the least `d` with `W_o d = b_o`. */
function valueOffset(output: Matrix): Float64Array {
  const weights = columnSlice(output, 0, output.columns - 1);
  const bias = columnSlice(output, output.columns - 1);
  if (bias.data.every((value) => value === 0)) return new Float64Array(weights.columns);
  const normal = gram(transpose(weights));
  return solveSymmetric(normal, multiplyTransposedLeft(weights, bias), { ridge: RIDGE }).data;
}

const withoutBias = (m: Matrix): Matrix => withColumn(columnSlice(m, 0, m.columns - 1));
