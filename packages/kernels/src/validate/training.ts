import type { Activation, Shape, Tensor } from "../device";
import type { AdamW, AttentionResult, DocumentAttention, ProductForm } from "../training-device";
import {
  ensure,
  ensureActivation,
  ensureCount,
  ensureDivides,
  ensureIndices,
  ensureShape,
  ensureSize,
} from "./ensure";

/** Sizes of a product `[rows, columns]` over `depth` terms. */
export interface ProductSizes {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** For `product`. Throws `InvalidArgument`, `ShapeMismatch`. */
export function checkProduct(form: ProductForm, a: Tensor, b: Tensor, to?: Tensor): ProductSizes {
  ensure(
    form === "ab" || form === "abT" || form === "aTb",
    "InvalidArgument",
    () => `Unknown form of a product "${String(form)}"; use ab, abT or aTb.`,
    { form },
  );
  const [rows, depth] = form === "aTb" ? [a.shape[1], a.shape[0]] : a.shape;
  const [columns, other] = form === "abT" ? b.shape : [b.shape[1], b.shape[0]];
  ensureSize("terms of b", other, depth);
  if (to) ensureShape("to", to.shape, [rows, columns]);
  return { rows, columns, depth };
}

/** For `addScaled`. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkAddScaled(to: Tensor, x: Tensor, factor: number): void {
  ensureShape("x", x.shape, to.shape);
  ensureFinite("factor", factor);
}

/** For `addRows`. Throws `ShapeMismatch`, `IndexOutOfRange`, `InvalidArgument`. */
export function checkAddRows(to: Tensor, rows: Int32Array, x: Tensor, factor: number): void {
  ensureShape("x", x.shape, [rows.length, to.shape[1]]);
  ensureFinite("factor", factor);
  ensureIndices("rows", rows, to.shape[0]);
}

/** For `rmsNormBackward`. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkRmsNormBackward(x: Tensor, weight: Tensor, epsilon: number, dy: Tensor): void {
  ensureSize("rows of weight", weight.shape[0], 1);
  ensure(
    x.shape[1] % weight.shape[1] === 0,
    "ShapeMismatch",
    () => `columns of x (${x.shape[1]}) are no multiple of the weight's width ${weight.shape[1]}.`,
    { columns: x.shape[1], width: weight.shape[1] },
  );
  ensureFinite("epsilon", epsilon);
  ensureShape("dy", dy.shape, x.shape);
}

/** For `gatedActivationBackward`. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkGatedActivationBackward(
  gate: Tensor,
  up: Tensor,
  activation: Activation,
  dy: Tensor,
): void {
  ensureActivation(activation);
  ensureShape("up", up.shape, gate.shape);
  ensureShape("dy", dy.shape, gate.shape);
}

/** For `softCapBackward`. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkSoftCapBackward(y: Tensor, cap: number, dy: Tensor): void {
  ensurePositive("cap", cap);
  ensureShape("dy", dy.shape, y.shape);
}

/** Sizes of an attention within documents. */
export interface DocumentSizes {
  readonly tokens: number;
  readonly valueDim: number;
  /** Of the parts. */
  readonly widths: readonly number[];
  /** First row and number of rows. */
  readonly documents: readonly { readonly first: number; readonly count: number }[];
}

/** For `documentAttention`. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkDocumentAttention(input: DocumentAttention): DocumentSizes {
  const { parts, values, valueHeads, heads, scale, window, softCap, documents } = input;
  ensureCount("heads", heads);
  ensure(
    parts.length === 1 || parts.length === 2,
    "InvalidArgument",
    () => `An attention has one or two parts, not ${parts.length}.`,
    { parts: parts.length },
  );
  const [tokens] = values.shape;
  ensureDivides("valueHeads", valueHeads, "heads", heads);
  ensureDivides("valueHeads", valueHeads, "columns of values", values.shape[1]);
  const widths = parts.map(({ query, key, keyHeads }) => {
    ensureDivides("keyHeads", keyHeads, "heads", heads);
    ensureDivides("keyHeads", keyHeads, "columns of key", key.shape[1]);
    const width = key.shape[1] / keyHeads;
    ensureShape("query", query.shape, [tokens, heads * width]);
    ensureSize("rows of key", key.shape[0], tokens);
    return width;
  });
  ensureFinite("scale", scale);
  if (window !== undefined) ensureCount("window", window);
  if (softCap !== undefined) ensurePositive("softCap", softCap);
  const valueDim = values.shape[1] / valueHeads;
  return { tokens, valueDim, widths, documents: documentRows(documents, tokens) };
}

function documentRows(starts: Int32Array, tokens: number): DocumentSizes["documents"] {
  const rising = starts.every((start, i) => (i === 0 ? start === 0 : start > starts[i - 1]!));
  ensure(
    starts.length > 0 && rising && starts[starts.length - 1]! < tokens,
    "InvalidArgument",
    () => `documents must begin with 0, rise, and stay below the ${tokens} rows.`,
    { documents: [...starts.subarray(0, 16)], tokens },
  );
  return Array.from(starts, (first, i) => ({ first, count: (starts[i + 1] ?? tokens) - first }));
}

/** For `documentAttentionBackward`. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkDocumentAttentionBackward(
  input: DocumentAttention,
  { output, logSums }: AttentionResult,
  dOutput: Tensor,
): DocumentSizes {
  const sizes = checkDocumentAttention(input);
  const { tokens, valueDim } = sizes;
  const shape: Shape = [tokens, input.heads * valueDim];
  ensureShape("output", output.shape, shape);
  ensureShape("dOutput", dOutput.shape, shape);
  ensureShape("logSums", logSums.shape, [tokens, input.heads]);
  return sizes;
}

/** For `crossEntropy`. Throws `ShapeMismatch`, `InvalidArgument`, `IndexOutOfRange` for a target of a row that counts. */
export function checkCrossEntropy(
  logits: Tensor,
  targets: Int32Array,
  weights: Float32Array,
): void {
  checkLossWeights(logits, weights);
  ensureSize("targets.length", targets.length, logits.shape[0]);
  const counted = targets.map((target, t) => (weights[t] === 0 ? 0 : target));
  ensureIndices("targets", counted, logits.shape[1]);
}

/** For `divergence`. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkDivergence(
  logits: Tensor,
  teacher: Tensor,
  temperature: number,
  weights: Float32Array,
): void {
  checkLossWeights(logits, weights);
  ensureShape("teacher", teacher.shape, logits.shape);
  ensurePositive("temperature", temperature);
}

function checkLossWeights(logits: Tensor, weights: Float32Array): void {
  ensureSize("weights.length", weights.length, logits.shape[0]);
  ensure(
    weights.every(Number.isFinite),
    "InvalidArgument",
    () => "weights must be finite numbers.",
  );
}

/** For `adamW`. Throws `ShapeMismatch`, `InvalidArgument`. */
export function checkAdamW(step: AdamW): void {
  const { parameter, gradient, firstMoment, secondMoment } = step;
  ensureShape("gradient", gradient.shape, parameter.shape);
  ensureShape("firstMoment", firstMoment.shape, parameter.shape);
  ensureShape("secondMoment", secondMoment.shape, parameter.shape);
  ensureCount("step", step.step);
  for (const name of ["rate", "decay", "gradientFactor"] as const) ensureFinite(name, step[name]);
  ensurePositive("epsilon", step.epsilon);
  for (const name of ["beta1", "beta2"] as const) {
    ensure(
      step[name] >= 0 && step[name] < 1,
      "InvalidArgument",
      () => `${name} must be from 0 to below 1, got ${step[name]}.`,
      { [name]: step[name] },
    );
  }
}

function ensureFinite(name: string, value: number): void {
  ensure(
    Number.isFinite(value),
    "InvalidArgument",
    () => `${name} must be a finite number, got ${value}.`,
    { [name]: value },
  );
}

function ensurePositive(name: string, value: number): void {
  ensure(
    Number.isFinite(value) && value > 0,
    "InvalidArgument",
    () => `${name} must be a finite number above 0, got ${value}.`,
    { [name]: value },
  );
}
