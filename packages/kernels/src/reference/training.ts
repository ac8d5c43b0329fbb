import { roundRow } from "../cache-storage";
import type { Activation, Shape, Tensor } from "../device";
import type {
  AdamW,
  AttentionGradients,
  AttentionResult,
  DocumentAttention,
  GatedActivationGradients,
  LossResult,
  ProductForm,
  RmsNormGradients,
  TrainingOperations,
} from "../training-device";
import {
  checkAdamW,
  checkAddRows,
  checkAddScaled,
  checkCrossEntropy,
  checkDivergence,
  checkDocumentAttention,
  checkDocumentAttentionBackward,
  checkGatedActivationBackward,
  checkProduct,
  checkRmsNormBackward,
  checkShape,
  checkSoftCapBackward,
} from "../validate";
import {
  documentAttention,
  documentAttentionBackward,
  type DocumentData,
} from "./document-attention";
import { activate } from "./feed-forward";
import { softmax } from "./softmax";

/** What the operations need of their device. */
export interface ReferenceMemory {
  /** The live numbers of a tensor. */
  numbers(tensor: Tensor): Float32Array;
  result(values: Float32Array, shape: Shape): Tensor;
}

/** The operations that define what training computes: plain loops, sums in float64. */
export class ReferenceTraining implements TrainingOperations {
  readonly #memory: ReferenceMemory;

  constructor(memory: ReferenceMemory) {
    this.#memory = memory;
  }

  zeros(shape: Shape): Tensor {
    checkShape(shape);
    return this.#memory.result(new Float32Array(shape[0] * shape[1]), shape);
  }

  product(form: ProductForm, a: Tensor, b: Tensor, to?: Tensor): Tensor {
    const { rows, columns, depth } = checkProduct(form, a, b, to);
    const [x, w] = [this.#numbers(a), this.#numbers(b)];
    const y = to ? this.#numbers(to) : new Float32Array(rows * columns);
    const [xRow, xStep] = form === "aTb" ? [1, rows] : [depth, 1];
    const [wColumn, wStep] = form === "abT" ? [depth, 1] : [1, columns];
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        let sum = y[r * columns + c]!;
        for (let k = 0; k < depth; k++)
          sum += x[r * xRow + k * xStep]! * w[c * wColumn + k * wStep]!;
        y[r * columns + c] = sum;
      }
    }
    return to ?? this.#memory.result(y, [rows, columns]);
  }

  addScaled(to: Tensor, x: Tensor, factor: number): void {
    checkAddScaled(to, x, factor);
    const target = this.#numbers(to);
    this.#numbers(x).forEach((value, i) => (target[i] = target[i]! + factor * value));
  }

  fill(to: Tensor, value: number): void {
    this.#numbers(to).fill(value);
  }

  addRows(to: Tensor, rows: Int32Array, x: Tensor, factor = 1): void {
    checkAddRows(to, rows, x, factor);
    const columns = to.shape[1];
    const target = this.#numbers(to);
    this.#numbers(x).forEach((value, i) => {
      const at = rows[Math.floor(i / columns)]! * columns + (i % columns);
      target[at] = target[at]! + factor * value;
    });
  }

  columnSums(x: Tensor): Tensor {
    const columns = x.shape[1];
    const sums = new Float64Array(columns);
    this.#numbers(x).forEach((value, i) => (sums[i % columns]! += value));
    return this.#memory.result(Float32Array.from(sums), [1, columns]);
  }

  sumOfSquares(x: Tensor): Tensor {
    const sum = this.#numbers(x).reduce((total, value) => total + value * value, 0);
    return this.#memory.result(Float32Array.of(sum), [1, 1]);
  }

  roundToBf16(x: Tensor): Tensor {
    return this.#memory.result(roundRow(this.#numbers(x), "bf16"), x.shape);
  }

  rmsNormBackward(x: Tensor, weight: Tensor, epsilon: number, dy: Tensor): RmsNormGradients {
    checkRmsNormBackward(x, weight, epsilon, dy);
    const [input, w, gradient] = [x, weight, dy].map((tensor) => this.#numbers(tensor));
    const width = w!.length;
    const dx = new Float32Array(input!.length);
    const dWeight = new Float64Array(width);
    for (let start = 0; start < dx.length; start += width) {
      const group = input!.subarray(start, start + width);
      const g = gradient!.subarray(start, start + width);
      const square = group.reduce((sum, value) => sum + value * value, 0) / width + epsilon;
      const inverse = 1 / Math.sqrt(square);
      let dot = 0;
      for (let i = 0; i < width; i++) {
        dot += g[i]! * w![i]! * group[i]!;
        dWeight[i]! += g[i]! * group[i]! * inverse;
      }
      const pull = dot / (width * square);
      for (let i = 0; i < width; i++) {
        dx[start + i] = inverse * (g[i]! * w![i]! - group[i]! * pull);
      }
    }
    return {
      dx: this.#memory.result(dx, x.shape),
      dWeight: this.#memory.result(Float32Array.from(dWeight), weight.shape),
    };
  }

  gatedActivationBackward(
    gate: Tensor,
    up: Tensor,
    activation: Activation,
    dy: Tensor,
  ): GatedActivationGradients {
    checkGatedActivationBackward(gate, up, activation, dy);
    const [g, u] = [this.#numbers(gate), this.#numbers(up)];
    const gradient = this.#numbers(dy);
    const dGate = gradient.map((d, i) => d * u[i]! * activationSlope(g[i]!, activation));
    const dUp = gradient.map((d, i) => d * activate(g[i]!, activation));
    return {
      dGate: this.#memory.result(dGate, gate.shape),
      dUp: this.#memory.result(dUp, gate.shape),
    };
  }

  softCapBackward(y: Tensor, cap: number, dy: Tensor): Tensor {
    checkSoftCapBackward(y, cap, dy);
    const values = this.#numbers(y);
    const dx = this.#numbers(dy).map((d, i) => d * (1 - (values[i]! / cap) ** 2));
    return this.#memory.result(dx, y.shape);
  }

  documentAttention(input: DocumentAttention): AttentionResult {
    const sizes = checkDocumentAttention(input);
    const { output, logSums } = documentAttention(input, sizes, this.#data(input));
    const { tokens, valueDim } = sizes;
    return {
      output: this.#memory.result(output, [tokens, input.heads * valueDim]),
      logSums: this.#memory.result(logSums, [tokens, input.heads]),
    };
  }

  documentAttentionBackward(
    input: DocumentAttention,
    result: AttentionResult,
    dOutput: Tensor,
  ): AttentionGradients {
    const sizes = checkDocumentAttentionBackward(input, result, dOutput);
    const data = this.#data(input);
    const gradients = documentAttentionBackward(input, sizes, data, this.#numbers(dOutput));
    return {
      parts: input.parts.map(({ query, key }, part) => ({
        dQuery: this.#memory.result(gradients.queries[part]!, query.shape),
        dKey: this.#memory.result(gradients.keys[part]!, key.shape),
      })),
      dValues: this.#memory.result(gradients.values, input.values.shape),
    };
  }

  crossEntropy(logits: Tensor, targets: Int32Array, weights: Float32Array): LossResult {
    checkCrossEntropy(logits, targets, weights);
    return this.#loss(logits, (row, gradient, t) => {
      if (weights[t] === 0) return 0;
      const probabilities = softmax(Float64Array.from(row));
      const target = targets[t]!;
      const loss = -weights[t]! * Math.log(probabilities[target]!);
      probabilities[target]! -= 1;
      gradient.set(probabilities.map((value) => weights[t]! * value));
      return loss;
    });
  }

  divergence(
    logits: Tensor,
    teacher: Tensor,
    temperature: number,
    weights: Float32Array,
  ): LossResult {
    checkDivergence(logits, teacher, temperature, weights);
    const columns = logits.shape[1];
    const wanted = this.#numbers(teacher);
    return this.#loss(logits, (row, gradient, t) => {
      if (weights[t] === 0) return 0;
      const tempered = (values: Float32Array) =>
        softmax(Float64Array.from(values, (value) => value / temperature));
      const p = tempered(wanted.subarray(t * columns, (t + 1) * columns));
      const q = tempered(row);
      const kl = p.reduce((sum, pi, i) => sum + (pi > 0 ? pi * Math.log(pi / q[i]!) : 0), 0);
      gradient.set(q.map((qi, i) => weights[t]! * temperature * (qi - p[i]!)));
      return weights[t]! * temperature ** 2 * kl;
    });
  }

  adamW(update: AdamW): void {
    checkAdamW(update);
    const { step, rate, beta1, beta2, epsilon, decay, gradientFactor } = update;
    const [p, gradient] = [this.#numbers(update.parameter), this.#numbers(update.gradient)];
    const [m, v] = [this.#numbers(update.firstMoment), this.#numbers(update.secondMoment)];
    for (let i = 0; i < p.length; i++) {
      const g = gradientFactor * gradient[i]!;
      m[i] = beta1 * m[i]! + (1 - beta1) * g;
      v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
      const first = m[i]! / (1 - beta1 ** step);
      const second = v[i]! / (1 - beta2 ** step);
      p[i] = (1 - rate * decay) * p[i]! - (rate * first) / (Math.sqrt(second) + epsilon);
    }
  }

  /** Calls `lossOf` for every row of the logits with a row of zeros for its gradient. */
  #loss(
    logits: Tensor,
    lossOf: (row: Float32Array, gradient: Float32Array, t: number) => number,
  ): LossResult {
    const [rows, columns] = logits.shape;
    const values = this.#numbers(logits);
    const gradient = new Float32Array(values.length);
    const losses = new Float32Array(rows);
    for (let t = 0; t < rows; t++) {
      const [start, end] = [t * columns, (t + 1) * columns];
      losses[t] = lossOf(values.subarray(start, end), gradient.subarray(start, end), t);
    }
    return {
      losses: this.#memory.result(losses, [rows, 1]),
      gradient: this.#memory.result(gradient, logits.shape),
    };
  }

  #numbers(tensor: Tensor): Float32Array {
    return this.#memory.numbers(tensor);
  }

  #data({ parts, values }: DocumentAttention): DocumentData {
    return {
      queries: parts.map(({ query }) => this.#numbers(query)),
      keys: parts.map(({ key }) => this.#numbers(key)),
      values: this.#numbers(values),
    };
  }
}

/** Derivative of `activate`. */
function activationSlope(x: number, activation: Activation): number {
  if (activation === "silu") {
    const sigmoid = 1 / (1 + Math.exp(-x));
    return sigmoid * (1 + x * (1 - sigmoid));
  }
  const root = Math.sqrt(2 / Math.PI);
  const tanh = Math.tanh(root * (x + 0.044715 * x ** 3));
  return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh * tanh) * root * (1 + 3 * 0.044715 * x * x);
}
