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
 * `W = W0 + (T - W0 A) (A + R)^-1` with `A = E[z~ z~^T]`, `T = E[target z~^T]`.
 */
export class OutputRefit {
  private readonly moments: Moments;
  private readonly cross: Matrix;

  /** @param inputs heads * valueDim */
  constructor(
    private readonly inputs: number,
    hiddenSize: number,
  ) {
    this.moments = new Moments(inputs);
    this.cross = matrix(inputs + 1, hiddenSize);
  }

  /** @param mixed `[tokens, inputs]` @param target `[tokens, hidden]` */
  add(mixed: Float32Array, target: Float32Array): void {
    const tokens = mixed.length / this.inputs;
    this.moments.add(mixed);
    const augmented = matrix(tokens, this.inputs + 1);
    for (let t = 0; t < tokens; t++) {
      const start = t * this.inputs;
      augmented.data.set(mixed.subarray(start, start + this.inputs), t * (this.inputs + 1));
      augmented.data[(t + 1) * (this.inputs + 1) - 1] = 1;
    }
    const product = multiplyTransposedLeft(augmented, matrix(tokens, this.cross.columns, target));
    for (const [i, value] of product.data.entries()) this.cross.data[i] += value;
  }

  /** @param output `W0`, `[hidden, inputs + 1]` @returns the new one */
  solve(output: Matrix): Matrix {
    const second = this.moments.augmented();
    const n = second.rows;
    const cross = matrix(
      n,
      this.cross.columns,
      this.cross.data.map((value) => value / this.moments.count),
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
