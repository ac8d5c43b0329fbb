import type { Activation, Device, Shape, Tensor } from "./device";

/**
 * A device that models can be trained on: what it computes forwards, and under `training` what gradients and steps need
 * besides. Parameters are tensors in training, not weights, and there is no cache.
 */
export interface TrainingDevice extends Device {
  readonly training: TrainingOperations;
}

/**
 * The operations of training. Where `L` is the number that is minimised, `dy` stands for `dL/dy`. As for `Device`, all are
 * enqueued in order and refuse wrong input before they compute; results are new tensors unless an operation says that it
 * changes one. What is summed is summed in an order that does not change from run to run.
 */
export interface TrainingOperations {
  /** A tensor of zeros, made on the device. Throws `InvalidArgument`. */
  zeros(shape: Shape): Tensor;

  /**
   * `ab`: `y = a b`; `abT`: `y = a b^T`; `aTb`: `y = a^T b`. With `to` the product is added to it and `to` is returned.
   * A projection `y = x W^T` with `W [out, in]` is `abT` of `x` and `W`, `dx` is `ab` of `dy` and `W`, `dW` is `aTb` of
   * `dy` and `x`. Throws `ShapeMismatch`.
   */
  product(form: ProductForm, a: Tensor, b: Tensor, to?: Tensor): Tensor;

  /** `to += factor * x`; changes `to`. Throws `ShapeMismatch`, `InvalidArgument`. */
  addScaled(to: Tensor, x: Tensor, factor: number): void;

  /** `to = value` everywhere; changes `to`. */
  fill(to: Tensor, value: number): void;

  /** `to[rows[t]] += factor * x[t]` in the order of `t`: the gradient of `gatherRows`; changes `to`. Throws `IndexOutOfRange`. */
  addRows(to: Tensor, rows: Int32Array, x: Tensor, factor?: number): void;

  /** Sums of the columns, `[1, columns]`: the gradient of a bias. */
  columnSums(x: Tensor): Tensor;

  /** Sum of the squares of all numbers, `[1, 1]`. */
  sumOfSquares(x: Tensor): Tensor;

  /** `x` rounded to the nearest bfloat16, of two to the even one, kept as float32. */
  roundToBf16(x: Tensor): Tensor;

  /** Gradients of `Device.rmsNorm`: `dx [tokens, groups * width]`, `dWeight [1, width]`. */
  rmsNormBackward(x: Tensor, weight: Tensor, epsilon: number, dy: Tensor): RmsNormGradients;

  /** Gradients of `Device.gatedActivation`. */
  gatedActivationBackward(
    gate: Tensor,
    up: Tensor,
    activation: Activation,
    dy: Tensor,
  ): GatedActivationGradients;

  /** Gradient of `Device.softCap` from its result `y`: `dx = (1 - (y / cap)^2) dy`. */
  softCapBackward(y: Tensor, cap: number, dy: Tensor): Tensor;

  /** Attention within documents. See `DocumentAttention`. */
  documentAttention(input: DocumentAttention): AttentionResult;

  /** Gradients of `documentAttention`, which recomputes its weights from the logarithms of their sums (arXiv 2205.14135). */
  documentAttentionBackward(
    input: DocumentAttention,
    result: AttentionResult,
    dOutput: Tensor,
  ): AttentionGradients;

  /**
   * `losses[t] = weights[t] * -log softmax(logits[t])[targets[t]]`, `[tokens, 1]`, and the gradient of their sum,
   * `[tokens, vocab]`. Rows of weight 0 are not looked at. Throws `ShapeMismatch`, `IndexOutOfRange`.
   */
  crossEntropy(logits: Tensor, targets: Int32Array, weights: Float32Array): LossResult;

  /**
   * Divergence from a teacher at a temperature (Hinton et al., arXiv 1503.02531): with `p = softmax(teacher / T)` and
   * `q = softmax(logits / T)`, `losses[t] = weights[t] * T^2 * sum_i p_i log(p_i / q_i)`, `[tokens, 1]`, and the gradient of
   * their sum, `[tokens, vocab]`. Rows of weight 0 are not looked at. Throws `ShapeMismatch`, `InvalidArgument`.
   */
  divergence(
    logits: Tensor,
    teacher: Tensor,
    temperature: number,
    weights: Float32Array,
  ): LossResult;

  /** One step of AdamW; changes `parameter` and both moments. See `AdamW`. */
  adamW(step: AdamW): void;
}

export type ProductForm = "ab" | "abT" | "aTb";

export interface RmsNormGradients {
  readonly dx: Tensor;
  readonly dWeight: Tensor;
}

export interface GatedActivationGradients {
  readonly dGate: Tensor;
  readonly dUp: Tensor;
}

/** One term of the logits: `query [tokens, heads * width]` against `key [tokens, keyHeads * width]`. */
export interface AttentionPart {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly keyHeads: number;
}

/**
 * Causal attention of rows that lie together, every document for itself:
 *
 *     logit_i,n = scale * sum over parts of q_i . k_a(i),n        a(i) = floor(i * keyHeads / heads)
 *     o_i       = sum_n softmax(logit_i)_n v_b(i),n               b(i) = floor(i * valueHeads / heads)
 *
 * where `n` runs over the rows of the same document up to the query's own. Grouped attention is one part; latent attention is
 * a position-free part whose keys are restored from latents, and a rotated one with a single key head.
 */
export interface DocumentAttention {
  /** One or two. */
  readonly parts: readonly AttentionPart[];
  /** `[tokens, valueHeads * valueDim]` */
  readonly values: Tensor;
  readonly valueHeads: number;
  readonly heads: number;
  readonly scale: number;
  /** Sliding window, as in `GroupedAttention`. */
  readonly window?: number | undefined;
  /** Soft cap of the scaled logits, as in `GroupedAttention`. */
  readonly softCap?: number | undefined;
  /** First row of every document: 0, then rising; a document ends where the next begins. */
  readonly documents: Int32Array;
}

export interface AttentionResult {
  /** `[tokens, heads * valueDim]` */
  readonly output: Tensor;
  /** Logarithm of the sum of the exponentials of every row's logits, `[tokens, heads]`. */
  readonly logSums: Tensor;
}

export interface AttentionGradients {
  /** In the order of `DocumentAttention.parts`. */
  readonly parts: readonly { readonly dQuery: Tensor; readonly dKey: Tensor }[];
  readonly dValues: Tensor;
}

export interface LossResult {
  readonly losses: Tensor;
  readonly gradient: Tensor;
}

/**
 * AdamW (Loshchilov & Hutter, arXiv 1711.05101) as PyTorch has it, with `g = gradientFactor * gradient` and step `t` from 1:
 *
 *     m = beta1 m + (1 - beta1) g          v = beta2 v + (1 - beta2) g^2
 *     parameter = (1 - rate decay) parameter - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)
 */
export interface AdamW {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly firstMoment: Tensor;
  readonly secondMoment: Tensor;
  readonly step: number;
  readonly rate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly decay: number;
  /** What clipping leaves of the gradient; 1 for all of it. */
  readonly gradientFactor: number;
}
