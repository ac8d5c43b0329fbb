import {
  deviceKit,
  type Activation,
  type AdamW,
  type AttentionGradients,
  type AttentionResult,
  type DocumentAttention,
  type GatedActivationGradients,
  type LossResult,
  type ProductForm,
  type RmsNormGradients,
  type Shape,
  type Tensor,
  type TrainingOperations,
} from "@transmla/kernels";
import { addRows } from "./operations/training/add-rows";
import { documentAttention, type DocumentSizes } from "./operations/training/document-attention";
import { documentAttentionBackward } from "./operations/training/document-attention-backward";
import { adamW, addScaled, fill, roundToBf16 } from "./operations/training/in-place";
import { crossEntropy, divergence } from "./operations/training/losses";
import { gatedActivationBackward, softCapBackward } from "./operations/training/pointwise-backward";
import { product } from "./operations/training/product";
import { columnSums, rmsNormBackward, sumOfSquares } from "./operations/training/sums";
import type { Block } from "./runtime/buffer-pool";
import type { Gpu } from "./runtime/gpu";

/** What the operations need of their device. */
export interface GpuTrainingMemory {
  readonly gpu: Gpu;
  block(tensor: Tensor): Block;
  /** New tensors that `compute` fills; none stays if it throws. */
  results(shapes: readonly Shape[], compute: (to: readonly Block[]) => void): Tensor[];
}

/** The operations of training as commands of the device. */
export class GpuTraining implements TrainingOperations {
  readonly #memory: GpuTrainingMemory;

  constructor(memory: GpuTrainingMemory) {
    this.#memory = memory;
  }

  zeros(shape: Shape): Tensor {
    deviceKit.checkShape(shape);
    return this.#result(shape, (to) => fill(this.#gpu, to, 0, shape[0] * shape[1]));
  }

  product(form: ProductForm, a: Tensor, b: Tensor, to?: Tensor): Tensor {
    const sizes = deviceKit.checkProduct(form, a, b, to);
    const [left, right] = [this.#block(a), this.#block(b)];
    const run = (y: Block) =>
      product(this.#gpu, form, sizes, { a: left, b: right, y }, to !== undefined);
    if (!to) return this.#result([sizes.rows, sizes.columns], run);
    run(this.#block(to));
    return to;
  }

  addScaled(to: Tensor, x: Tensor, factor: number): void {
    deviceKit.checkAddScaled(to, x, factor);
    addScaled(this.#gpu, this.#block(to), this.#block(x), factor, numbersOf(to));
  }

  fill(to: Tensor, value: number): void {
    fill(this.#gpu, this.#block(to), value, numbersOf(to));
  }

  addRows(to: Tensor, rows: Int32Array, x: Tensor, factor = 1): void {
    deviceKit.checkAddRows(to, rows, x, factor);
    addRows(this.#gpu, this.#block(to), rows, this.#block(x), to.shape[1], factor);
  }

  columnSums(x: Tensor): Tensor {
    const from = this.#block(x);
    const [rows, columns] = x.shape;
    return this.#result([1, columns], (y) => columnSums(this.#gpu, from, y, rows, columns));
  }

  sumOfSquares(x: Tensor): Tensor {
    const from = this.#block(x);
    return this.#result([1, 1], (y) => sumOfSquares(this.#gpu, from, y, numbersOf(x)));
  }

  roundToBf16(x: Tensor): Tensor {
    const from = this.#block(x);
    return this.#result(x.shape, (y) => roundToBf16(this.#gpu, from, y, numbersOf(x)));
  }

  rmsNormBackward(x: Tensor, weight: Tensor, epsilon: number, dy: Tensor): RmsNormGradients {
    deviceKit.checkRmsNormBackward(x, weight, epsilon, dy);
    const inputs = { x: this.#block(x), weight: this.#block(weight), dy: this.#block(dy) };
    const width = weight.shape[1];
    const size = { width, groups: numbersOf(x) / width };
    const [dx, dWeight] = this.#memory.results([x.shape, weight.shape], ([to, toWeight]) =>
      rmsNormBackward(this.#gpu, inputs, epsilon, [to!, toWeight!], size),
    );
    return { dx: dx!, dWeight: dWeight! };
  }

  gatedActivationBackward(
    gate: Tensor,
    up: Tensor,
    activation: Activation,
    dy: Tensor,
  ): GatedActivationGradients {
    deviceKit.checkGatedActivationBackward(gate, up, activation, dy);
    const inputs = { gate: this.#block(gate), up: this.#block(up), dy: this.#block(dy) };
    const [dGate, dUp] = this.#memory.results([gate.shape, up.shape], ([toGate, toUp]) =>
      gatedActivationBackward(this.#gpu, activation, inputs, [toGate!, toUp!], numbersOf(gate)),
    );
    return { dGate: dGate!, dUp: dUp! };
  }

  softCapBackward(y: Tensor, cap: number, dy: Tensor): Tensor {
    deviceKit.checkSoftCapBackward(y, cap, dy);
    const inputs = { y: this.#block(y), dy: this.#block(dy) };
    return this.#result(y.shape, (dx) =>
      softCapBackward(this.#gpu, { ...inputs, dx }, cap, numbersOf(y)),
    );
  }

  documentAttention(input: DocumentAttention): AttentionResult {
    const sizes = deviceKit.checkDocumentAttention(input);
    const attention = this.#attention(input, sizes);
    const { tokens, valueDim } = sizes;
    const shapes: Shape[] = [
      [tokens, input.heads * valueDim],
      [tokens, input.heads],
    ];
    const [output, logSums] = this.#memory.results(shapes, ([to, toSums]) =>
      documentAttention(this.#gpu, attention, [to!, toSums!]),
    );
    return { output: output!, logSums: logSums! };
  }

  documentAttentionBackward(
    input: DocumentAttention,
    result: AttentionResult,
    dOutput: Tensor,
  ): AttentionGradients {
    const sizes = deviceKit.checkDocumentAttentionBackward(input, result, dOutput);
    const attention = this.#attention(input, sizes);
    const inputs = {
      output: this.#block(result.output),
      logSums: this.#block(result.logSums),
      dOutput: this.#block(dOutput),
    };
    const { parts, values } = input;
    const shapes = [
      ...parts.map(({ query }) => query.shape),
      ...parts.map(({ key }) => key.shape),
      values.shape,
    ];
    const gradients = this.#memory.results(shapes, (to) =>
      documentAttentionBackward(this.#gpu, attention, inputs, {
        dQueries: to.slice(0, parts.length),
        dKeys: to.slice(parts.length, -1),
        dValues: to.at(-1)!,
      }),
    );
    return {
      parts: parts.map((_, p) => ({ dQuery: gradients[p]!, dKey: gradients[parts.length + p]! })),
      dValues: gradients.at(-1)!,
    };
  }

  crossEntropy(logits: Tensor, targets: Int32Array, weights: Float32Array): LossResult {
    deviceKit.checkCrossEntropy(logits, targets, weights);
    const from = this.#block(logits);
    return this.#loss(logits, (shape, blocks) =>
      crossEntropy(this.#gpu, from, shape, { targets, weights }, blocks),
    );
  }

  divergence(
    logits: Tensor,
    teacher: Tensor,
    temperature: number,
    weights: Float32Array,
  ): LossResult {
    deviceKit.checkDivergence(logits, teacher, temperature, weights);
    const inputs = { logits: this.#block(logits), teacher: this.#block(teacher) };
    return this.#loss(logits, (shape, blocks) =>
      divergence(this.#gpu, inputs, shape, temperature, weights, blocks),
    );
  }

  adamW(update: AdamW): void {
    deviceKit.checkAdamW(update);
    const { parameter, gradient, firstMoment, secondMoment } = update;
    const blocks = {
      parameter: this.#block(parameter),
      gradient: this.#block(gradient),
      firstMoment: this.#block(firstMoment),
      secondMoment: this.#block(secondMoment),
    };
    adamW(this.#gpu, update, blocks, numbersOf(parameter));
  }

  #loss(
    { shape }: Tensor,
    compute: (
      shape: { readonly rows: number; readonly columns: number },
      to: { readonly losses: Block; readonly gradient: Block },
    ) => void,
  ): LossResult {
    const [rows, columns] = shape;
    const shapes: Shape[] = [[rows, 1], shape];
    const [losses, gradient] = this.#memory.results(shapes, ([toLosses, toGradient]) =>
      compute({ rows, columns }, { losses: toLosses!, gradient: toGradient! }),
    );
    return { losses: losses!, gradient: gradient! };
  }

  #attention(input: DocumentAttention, sizes: DocumentSizes) {
    const { parts, values } = input;
    return {
      input,
      sizes,
      queries: parts.map(({ query }) => this.#block(query)),
      keys: parts.map(({ key }) => this.#block(key)),
      values: this.#block(values),
    };
  }

  #result(shape: Shape, compute: (to: Block) => void): Tensor {
    return this.#memory.results([shape], ([to]) => compute(to!))[0]!;
  }

  #block(tensor: Tensor): Block {
    return this.#memory.block(tensor);
  }

  get #gpu(): Gpu {
    return this.#memory.gpu;
  }
}

function numbersOf({ shape }: Tensor): number {
  return shape[0] * shape[1];
}
