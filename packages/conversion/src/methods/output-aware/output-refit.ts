import type { Device } from "@transmla/kernels";
import { solveSymmetricInPlace, transpose, type Matrix } from "@transmla/low-rank";
import { OuterProducts, symmetricMean } from "../../outer-products";
import type { Rows } from "./score-samples";
import type { OriginalBatch } from "../parallel-streams";

/** Ridge, relative to the mean diagonal of the heads' second moment. The bias is (nearly) free. */
const RIDGE = 1e-2;
const BIAS_RIDGE = 1e-8;
/** Heads whose outputs are this small beside the constant 1 keep the projection they have. */
const LEAST_RIDGE = 1e-12;

/**
 * Ridge regression of a layer's output projection and bias, streamed. From the heads' outputs `z~ = [z; 1]` of the converted attention
 * it learns what the residual stream lacks,
 *
 *     target = (residual of the original after its attention) - (residual of the converted model before its attention),
 *
 * so the projection also repairs what earlier layers have lost. It shrinks towards the projection there is:
 * `W = (T + W0 R) (A + R)^-1` with `A = E[w z~ z~^T] / E[w]`, `T = E[w target z~^T] / E[w]`.
 *
 * A token's weight `w` is one over the mean square of the residual stream it joins, since the next norm divides by it: language models
 * give some tokens (the first, above all) a stream a hundred times as large, whose errors would otherwise count for all others'.
 */
export class OutputRefit {
  /** `sum w z~ [z~, target]^T`, `[inputs + 1, inputs + 1 + hidden]` */
  private readonly products: OuterProducts;
  private weight = 0;

  /** @param inputs heads * valueDim */
  constructor(
    device: Device,
    private readonly inputs: number,
    private readonly hiddenSize: number,
  ) {
    this.products = new OuterProducts(device, inputs + 1, inputs + 1 + hiddenSize);
  }

  /** @param mixed `[tokens, inputs]` @param target `[tokens, hidden]` @param weights `[tokens]` */
  async add(mixed: Float32Array, target: Float32Array, weights: Float64Array): Promise<void> {
    const { inputs, hiddenSize } = this;
    const width = inputs + 1 + hiddenSize;
    const both = new Float32Array(weights.length * width);
    for (let t = 0; t < weights.length; t++) {
      const root = Math.sqrt(weights[t]);
      const start = t * width;
      for (let i = 0; i < inputs; i++) both[start + i] = root * mixed[t * inputs + i];
      both[start + inputs] = root;
      for (let i = 0; i < hiddenSize; i++) {
        both[start + inputs + 1 + i] = root * target[t * hiddenSize + i];
      }
      this.weight += weights[t];
    }
    await this.products.add(both);
  }

  /**
   * Solves in place of what was added up, for that is the largest a conversion holds: nothing can be added afterwards. `bias` says
   * whether the bias is fitted too (default) or stays.
   *
   * @param output `W0`, `[hidden, inputs + 1]`
   * @returns the new one
   */
  solve(output: Rows, { bias = true }: { readonly bias?: boolean } = {}): Matrix {
    const n = this.inputs + 1;
    const { square, rest } = this.products;
    const rightSide = rest!;
    const second = symmetricMean(square, this.weight);
    const { data, columns: hidden } = rightSide;
    for (let at = 0; at < data.length; at++) data[at] /= this.weight;
    let mean = 0;
    for (let i = 0; i < this.inputs; i++) mean += second.data[i * (n + 1)] / this.inputs;
    for (let i = 0; i < n; i++) {
      const ridge = i < this.inputs ? Math.max(RIDGE * mean, LEAST_RIDGE) : BIAS_RIDGE;
      second.data[i * (n + 1)] += ridge;
      for (let j = 0; j < hidden; j++) data[i * hidden + j] += ridge * output.data[j * n + i];
    }
    if (!bias) pinLast(second, rightSide, output);
    solveSymmetricInPlace(second, rightSide);
    return transpose(rightSide);
  }
}

/** Changes the equations so that the last unknown, the bias, is that of `output`. */
function pinLast(second: Matrix, rightSide: Matrix, output: Rows): void {
  const n = second.rows;
  const { data, columns: hidden } = rightSide;
  for (let j = 0; j < hidden; j++) {
    const bias = output.data[(j + 1) * n - 1];
    for (let i = 0; i < n - 1; i++) data[i * hidden + j] -= second.data[(i + 1) * n - 1] * bias;
    data[(n - 1) * hidden + j] = bias;
  }
  for (let i = 0; i < n - 1; i++) {
    second.data[(i + 1) * n - 1] = 0;
    second.data[(n - 1) * n + i] = 0;
  }
  second.data[n * n - 1] = 1;
}

/**
 * What the attention of a layer should give for one batch, and how much each token counts. Where the layer normalises it before it joins
 * the stream, no output makes up exactly for what the stream lacks: there the target is the original's own output, relative to its size.
 *
 * @param states the residual stream of the converted model before the attention, `[tokens, hidden]`
 */
export function outputTarget(
  { before, output }: OriginalBatch,
  states: Float32Array,
  { hidden, normalised, normAware }: OutputTargetOptions,
): { readonly target: Float32Array; readonly weights: Float64Array } {
  if (normalised) return { target: output, weights: tokenWeights(output, hidden, normAware) };
  const target = new Float32Array(output.length);
  for (let i = 0; i < target.length; i++) target[i] = before[i] + output[i];
  const weights = tokenWeights(target, hidden, normAware);
  for (let i = 0; i < target.length; i++) target[i] -= states[i];
  return { target, weights };
}

export interface OutputTargetOptions {
  readonly hidden: number;
  /** `DecoderLayer.normalisesOutput` */
  readonly normalised: boolean;
  readonly normAware: boolean;
}

/** One over the mean square of every row of `rows [tokens, hidden]`, none for a row of zeros; 1 for each without `normAware`. */
export function tokenWeights(rows: Float32Array, hidden: number, normAware: boolean): Float64Array {
  return Float64Array.from({ length: rows.length / hidden }, (_, token) => {
    if (!normAware) return 1;
    let sum = 0;
    for (let i = token * hidden; i < (token + 1) * hidden; i++) sum += rows[i] * rows[i];
    return sum > 0 ? hidden / sum : 0;
  });
}
