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
  type DocumentPointers,
} from "./document-attention";
import { ranges, type Call, type Pointer } from "./kernels";
import { byRows } from "./pointwise";
import { product } from "./product";
import { placeIntegers, type Runtime } from "./runtime";

/** What the operations need of their device. */
export interface CpuTrainingMemory {
  readonly runtime: Runtime;
  pointer(tensor: Tensor): Pointer;
  /** New tensors that `compute` fills; none stays if it throws. */
  results(shapes: readonly Shape[], compute: (to: readonly Pointer[]) => void): Tensor[];
}

/** Rows that threads sum up by themselves, whatever their number: the order of a sum must not depend on it. */
const SUM_PIECES = 16;

/** The operations of training in WebAssembly, on the threads of the device. */
export class CpuTraining implements TrainingOperations {
  readonly #memory: CpuTrainingMemory;

  constructor(memory: CpuTrainingMemory) {
    this.#memory = memory;
  }

  zeros(shape: Shape): Tensor {
    checkShape(shape);
    const count = shape[0] * shape[1];
    return this.#result(shape, (y) => this.#eachOf(count, 1, (at, n) => ["fill", y + at, 0, n]));
  }

  product(form: ProductForm, a: Tensor, b: Tensor, to?: Tensor): Tensor {
    const sizes = checkProduct(form, a, b, to);
    const [left, right] = [this.#at(a), this.#at(b)];
    const run = (y: Pointer) => {
      product(this.#runtime, form, sizes, [y, left, right], to !== undefined);
    };
    if (!to) return this.#result([sizes.rows, sizes.columns], run);
    run(this.#at(to));
    return to;
  }

  addScaled(to: Tensor, x: Tensor, factor: number): void {
    checkAddScaled(to, x, factor);
    const [y, from] = [this.#at(to), this.#at(x)];
    this.#elementwise(to, 1, (at, n) => ["addScaled", y + at, from + at, factor, n]);
  }

  fill(to: Tensor, value: number): void {
    const y = this.#at(to);
    this.#elementwise(to, 1, (at, n) => ["fill", y + at, value, n]);
  }

  addRows(to: Tensor, rows: Int32Array, x: Tensor, factor = 1): void {
    checkAddRows(to, rows, x, factor);
    const columns = to.shape[1];
    const [y, from] = [this.#at(to), this.#at(x)];
    const runtime = this.#runtime;
    runtime.memory.temporarily((allocate) => {
      const places = placeIntegers(runtime.memory, allocate(4 * rows.length), rows);
      const part = (first: number, n: number): Call => {
        const at = 4 * first;
        return ["addRows", y + at, places, from + at, factor, rows.length, n, columns];
      };
      byRows(runtime, columns, rows.length, 4, part);
    });
  }

  columnSums(x: Tensor): Tensor {
    const [rows, columns] = x.shape;
    const from = this.#at(x);
    return this.#result([1, columns], (y) => {
      byRows(this.#runtime, columns, rows, 4, (first, n) => {
        return ["columnSums", y + 4 * first, from + 4 * first, rows, n, columns];
      });
    });
  }

  sumOfSquares(x: Tensor): Tensor {
    const count = x.shape[0] * x.shape[1];
    const from = this.#at(x);
    const { memory } = this.#runtime;
    return this.#result([1, 1], (y) => {
      memory.temporarily((allocate) => {
        const parts = ranges(count, SUM_PIECES, 16);
        const sums = allocate(8 * parts.length);
        this.#runtime.run(
          parts.map(({ first, count: n }, i): Call => {
            return ["sumOfSquares", sums + 8 * i, from + 4 * first, n];
          }),
        );
        const total = memory.view(sums, 2 * parts.length).reduce((sum, part) => sum + part, 0);
        memory.view(y, 1)[0] = total;
      });
    });
  }

  roundToBf16(x: Tensor): Tensor {
    const from = this.#at(x);
    return this.#result(x.shape, (y) => {
      this.#elementwise(x, 1, (at, n) => ["roundToBf16", y + at, from + at, n]);
    });
  }

  rmsNormBackward(x: Tensor, weight: Tensor, epsilon: number, dy: Tensor): RmsNormGradients {
    checkRmsNormBackward(x, weight, epsilon, dy);
    const width = weight.shape[1];
    const groups = (x.shape[0] * x.shape[1]) / width;
    const [from, w, gradient] = [this.#at(x), this.#at(weight), this.#at(dy)];
    const runtime = this.#runtime;
    const [dx, dWeight] = this.#memory.results([x.shape, weight.shape], ([to, toWeight]) => {
      runtime.memory.temporarily((allocate) => {
        const parts = ranges(groups, SUM_PIECES, 1);
        const sums = allocate(4 * parts.length * width);
        runtime.memory.view(sums, parts.length * width).fill(0);
        runtime.run(
          parts.map(({ first, count }, i): Call => {
            const at = 4 * first * width;
            const own = sums + 4 * i * width;
            return [
              "rmsNormBackward",
              to! + at,
              own,
              from + at,
              w,
              gradient + at,
              count,
              width,
              epsilon,
            ];
          }),
        );
        runtime.run([["columnSums", toWeight!, sums, parts.length, width, width]]);
      });
    });
    return { dx: dx!, dWeight: dWeight! };
  }

  gatedActivationBackward(
    gate: Tensor,
    up: Tensor,
    activation: Activation,
    dy: Tensor,
  ): GatedActivationGradients {
    checkGatedActivationBackward(gate, up, activation, dy);
    const [g, u, d] = [this.#at(gate), this.#at(up), this.#at(dy)];
    const gelu = activation === "gelu-tanh" ? 1 : 0;
    const [dGate, dUp] = this.#memory.results([gate.shape, up.shape], ([toGate, toUp]) => {
      this.#elementwise(gate, 4, (at, n) => {
        return [
          "gatedActivationBackward",
          toGate! + at,
          toUp! + at,
          g + at,
          u + at,
          d + at,
          n,
          gelu,
        ];
      });
    });
    return { dGate: dGate!, dUp: dUp! };
  }

  softCapBackward(y: Tensor, cap: number, dy: Tensor): Tensor {
    checkSoftCapBackward(y, cap, dy);
    const [from, d] = [this.#at(y), this.#at(dy)];
    return this.#result(y.shape, (to) => {
      this.#elementwise(y, 1, (at, n) => ["softCapBackward", to + at, from + at, d + at, cap, n]);
    });
  }

  documentAttention(input: DocumentAttention): AttentionResult {
    const sizes = checkDocumentAttention(input);
    const { tokens, valueDim } = sizes;
    const inputs = this.#attentionInputs(input);
    const shapes: Shape[] = [
      [tokens, input.heads * valueDim],
      [tokens, input.heads],
    ];
    const [output, logSums] = this.#memory.results(shapes, ([to, toSums]) => {
      const pointers = { ...inputs, output: to!, logSums: toSums! };
      documentAttention(this.#runtime, input, sizes, pointers);
    });
    return { output: output!, logSums: logSums! };
  }

  documentAttentionBackward(
    input: DocumentAttention,
    { output, logSums }: AttentionResult,
    dOutput: Tensor,
  ): AttentionGradients {
    const sizes = checkDocumentAttentionBackward(input, { output, logSums }, dOutput);
    const { parts, values } = input;
    const pointers = {
      ...this.#attentionInputs(input),
      output: this.#at(output),
      logSums: this.#at(logSums),
    };
    const d = this.#at(dOutput);
    const shapes = [
      ...parts.map(({ query }) => query.shape),
      ...parts.map(({ key }) => key.shape),
      values.shape,
    ];
    const gradients = this.#memory.results(shapes, (to) => {
      documentAttentionBackward(this.#runtime, input, sizes, pointers, {
        dOutput: d,
        dQueries: to.slice(0, parts.length),
        dKeys: to.slice(parts.length, -1),
        dValues: to.at(-1)!,
      });
    });
    return {
      parts: parts.map((_, i) => ({
        dQuery: gradients[i]!,
        dKey: gradients[parts.length + i]!,
      })),
      dValues: gradients.at(-1)!,
    };
  }

  crossEntropy(logits: Tensor, targets: Int32Array, weights: Float32Array): LossResult {
    checkCrossEntropy(logits, targets, weights);
    const from = this.#at(logits);
    const { memory } = this.#runtime;
    return this.#loss(logits, weights, (allocate) => {
      const places = placeIntegers(memory, allocate(4 * targets.length), targets);
      return ([losses, gradient, ownWeights], first, n, columns) => {
        const at = 4 * first * columns;
        const targetsAt = places + 4 * first;
        return ["crossEntropy", losses, gradient, from + at, targetsAt, ownWeights, n, columns];
      };
    });
  }

  divergence(
    logits: Tensor,
    teacher: Tensor,
    temperature: number,
    weights: Float32Array,
  ): LossResult {
    checkDivergence(logits, teacher, temperature, weights);
    const [from, wanted] = [this.#at(logits), this.#at(teacher)];
    return this.#loss(
      logits,
      weights,
      () =>
        ([losses, gradient, ownWeights], first, n, columns) => {
          const at = 4 * first * columns;
          return [
            "divergence",
            losses,
            gradient,
            from + at,
            wanted + at,
            ownWeights,
            temperature,
            n,
            columns,
          ];
        },
    );
  }

  adamW(update: AdamW): void {
    checkAdamW(update);
    const { parameter, step, rate, beta1, beta2, epsilon, decay, gradientFactor } = update;
    const [p, g] = [this.#at(parameter), this.#at(update.gradient)];
    const [m, v] = [this.#at(update.firstMoment), this.#at(update.secondMoment)];
    const rateFirst = rate / (1 - beta1 ** step);
    const inverseSecond = 1 / (1 - beta2 ** step);
    this.#elementwise(parameter, 4, (at, n) => [
      "adamW",
      p + at,
      g + at,
      m + at,
      v + at,
      n,
      rateFirst,
      beta1,
      beta2,
      inverseSecond,
      epsilon,
      1 - rate * decay,
      gradientFactor,
    ]);
  }

  /** Rows of logits shared out; `prepare` gives the call of some rows from addresses that begin with the first of them. */
  #loss(
    logits: Tensor,
    weights: Float32Array,
    prepare: (
      allocate: (bytes: number) => Pointer,
    ) => (
      pointers: readonly [losses: Pointer, gradient: Pointer, weights: Pointer],
      first: number,
      rows: number,
      columns: number,
    ) => Call,
  ): LossResult {
    const [rows, columns] = logits.shape;
    const runtime = this.#runtime;
    const shapes: Shape[] = [[rows, 1], logits.shape];
    const [losses, gradient] = this.#memory.results(shapes, ([toLosses, toGradient]) => {
      runtime.memory.temporarily((allocate) => {
        const own = allocate(4 * rows);
        runtime.memory.view(own, rows).set(weights);
        const call = prepare(allocate);
        byRows(runtime, rows, 4 * columns, 1, (first, n) => {
          const at = toGradient! + 4 * first * columns;
          return call([toLosses! + 4 * first, at, own + 4 * first], first, n, columns);
        });
      });
    });
    return { losses: losses!, gradient: gradient! };
  }

  #attentionInputs({
    parts,
    values,
  }: DocumentAttention): Pick<DocumentPointers, "queries" | "keys" | "values"> {
    return {
      queries: parts.map(({ query }) => this.#at(query)),
      keys: parts.map(({ key }) => this.#at(key)),
      values: this.#at(values),
    };
  }

  /** See `#eachOf`. */
  #elementwise(tensor: Tensor, cost: number, call: (at: number, count: number) => Call): void {
    this.#eachOf(tensor.shape[0] * tensor.shape[1], cost, call);
  }

  /** Numbers shared out; `call` gets offsets in bytes. `cost` is in sums per number. */
  #eachOf(count: number, cost: number, call: (at: number, count: number) => Call): void {
    byRows(this.#runtime, count, cost, 16, (first, n) => call(4 * first, n));
  }

  #result(shape: Shape, compute: (to: Pointer) => void): Tensor {
    return this.#memory.results([shape], ([to]) => compute(to!))[0]!;
  }

  #at(tensor: Tensor): Pointer {
    return this.#memory.pointer(tensor);
  }

  get #runtime(): Runtime {
    return this.#memory.runtime;
  }
}
