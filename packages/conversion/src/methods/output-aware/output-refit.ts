import {
  add,
  matrix,
  multiply,
  multiplyTransposedLeft,
  Moments,
  solveSymmetric,
  transpose,
  type Matrix,
} from "@transmla/low-rank";

/** Ridge, relative to the mean diagonal of the heads' second moment. The bias is (nearly) free. */
const RIDGE = 1e-2;
const BIAS_RIDGE = 1e-8;

/**
 * Ridge regression of a layer's output projection and bias, streamed. From the heads' outputs `z~ = [z; 1]` of the converted attention
 * it learns what the residual stream lacks,
 *
 *     target = (residual of the original after its attention) - (residual of the converted model before its attention),
 *
 * so the projection also repairs what earlier layers have lost. It shrinks towards the projection there is:
 * `W = W0 + (T - W0 A) (A + R)^-1` with `A = E[w z~ z~^T] / E[w]`, `T = E[w target z~^T] / E[w]`.
 *
 * A token's weight `w` is one over the mean square of the residual stream it joins, since the next norm divides by it: language models
 * give some tokens (the first, above all) a stream a hundred times as large, whose errors would otherwise count for all others'.
 */
export class OutputRefit {
  private readonly moments: Moments;
  private readonly cross: Matrix;
  private weight = 0;

  /** @param inputs heads * valueDim */
  constructor(
    private readonly inputs: number,
    hiddenSize: number,
  ) {
    this.moments = new Moments(inputs + 1);
    this.cross = matrix(inputs + 1, hiddenSize);
  }

  /** @param mixed `[tokens, inputs]` @param target `[tokens, hidden]` @param weights `[tokens]` */
  add(mixed: Float32Array, target: Float32Array, weights: Float64Array): void {
    const tokens = weights.length;
    const width = this.inputs + 1;
    const hidden = this.cross.columns;
    const augmented = matrix(tokens, width);
    const targets = matrix(tokens, hidden, target);
    for (const [t, weight] of weights.entries()) {
      const root = Math.sqrt(weight);
      for (let i = 0; i < this.inputs; i++) {
        augmented.data[t * width + i] = root * mixed[t * this.inputs + i];
      }
      augmented.data[(t + 1) * width - 1] = root;
      for (let i = 0; i < hidden; i++) targets.data[t * hidden + i] *= root;
      this.weight += weight;
    }
    this.moments.add(augmented.data);
    const product = multiplyTransposedLeft(augmented, targets);
    for (const [i, value] of product.data.entries()) this.cross.data[i] += value;
  }

  /** @param output `W0`, `[hidden, inputs + 1]` @returns the new one */
  solve(output: Matrix): Matrix {
    const n = this.inputs + 1;
    const { data } = this.moments.secondMoment();
    const second = matrix(
      n,
      n,
      data.map((value) => (value * this.moments.count) / this.weight),
    );
    const cross = matrix(
      n,
      this.cross.columns,
      this.cross.data.map((value) => value / this.weight),
    );
    const before = transpose(output);
    const rightSide = add(cross, multiply(second, before), -1);
    let mean = 0;
    for (let i = 0; i < this.inputs; i++) mean += second.data[i * (n + 1)] / this.inputs;
    for (let i = 0; i < n; i++) {
      second.data[i * (n + 1)] += i < this.inputs ? RIDGE * mean + Number.MIN_VALUE : BIAS_RIDGE;
    }
    return transpose(add(before, solveSymmetric(second, rightSide)));
  }
}

/** One over the mean square of every row of `rows [tokens, hidden]`; 1 for each without `normAware`. */
export function tokenWeights(rows: Float32Array, hidden: number, normAware: boolean): Float64Array {
  return Float64Array.from({ length: rows.length / hidden }, (_, token) => {
    if (!normAware) return 1;
    let sum = 0;
    for (let i = token * hidden; i < (token + 1) * hidden; i++) sum += rows[i] ** 2;
    return hidden / (sum + Number.MIN_VALUE);
  });
}
