import type { Tensor, TrainingDevice } from "@transmla/kernels";
import type { AttentionContext } from "./attention";
import type { Batch } from "./batch";
import { TrainingError } from "./errors";
import type { Parameter } from "./parameters";
import { constant, Tape } from "./tape";
import type { TeacherLogits } from "./teacher";
import type { TrainableModel } from "./trainable-model";

/** What is minimised: a weighted sum, whose terms of weight 0 are not computed. */
export interface Objective {
  /** Cross-entropy with the text. */
  readonly crossEntropy?: number | undefined;
  /** `T^2 KL(teacher ‖ student)` over the vocabulary. */
  readonly divergence?: number | undefined;
  /** Of the divergence; default 1. */
  readonly temperature?: number | undefined;
  /**
   * Square error of every layer's attention relative to the teacher's, each fed with what enters the teacher's layer: local
   * to the layer, so that only its attention learns from it. Teacher and student have the same hidden size and layers.
   */
  readonly attention?: number | undefined;
}

/** The terms of a loss, each a mean over what it counts, before its weight. */
export interface Losses {
  readonly crossEntropy?: number | undefined;
  readonly divergence?: number | undefined;
  readonly attention?: number | undefined;
}

/** Tensors of losses that are read once everything is enqueued. */
export type LossTensors = Partial<Record<keyof Losses, Tensor[]>>;

/** Rows whose logits are in memory at once. */
export const LOGIT_ROWS = 256;

/** @throws TrainingError `InvalidOption` for a weight that is no number from 0, or if there is none above */
export function checkObjective(objective: Objective): void {
  const { crossEntropy = 0, divergence = 0, attention = 0, temperature = 1 } = objective;
  const weights = { crossEntropy, divergence, attention };
  for (const [option, value] of Object.entries(weights)) {
    if (Number.isFinite(value) && value >= 0) continue;
    throw new TrainingError("InvalidOption", `${option} must be a number from 0, got ${value}.`, {
      option,
      value,
    });
  }
  if (crossEntropy + divergence + attention === 0) {
    throw new TrainingError("InvalidOption", "An objective needs a weight above 0.", weights);
  }
  if (Number.isFinite(temperature) && temperature > 0) return;
  throw new TrainingError(
    "InvalidOption",
    `temperature must be a number above 0, got ${temperature}.`,
    { option: "temperature", value: temperature },
  );
}

/** Whether an objective asks a teacher. */
export const needsTeacher = ({ divergence = 0, attention = 0 }: Objective): boolean =>
  divergence > 0 || attention > 0;

export interface HeadLossOptions {
  readonly objective: Objective;
  readonly batch: Batch;
  readonly teacher: TeacherLogits | undefined;
  /** Factor on all weights: one over the weight of a step. */
  readonly factor: number;
  readonly softCap: number | undefined;
  /** Whether gradients are wanted (default true). */
  readonly gradients?: boolean | undefined;
}

/**
 * Losses of the logits and the gradient of the states, a few rows at a time, so that `[tokens, vocab]` never exists. The
 * gradient of the head is added to at once.
 */
export function headLoss(
  device: TrainingDevice,
  states: Tensor,
  head: Parameter,
  options: HeadLossOptions,
): { readonly losses: LossTensors; readonly dStates: Tensor | undefined } {
  const { gradients = true } = options;
  const [tokens] = states.shape;
  const dStates = gradients ? device.training.zeros(states.shape) : undefined;
  const losses: LossTensors = {};
  for (let first = 0; first < tokens; first += LOGIT_ROWS) {
    const rows = Int32Array.from(
      { length: Math.min(LOGIT_ROWS, tokens - first) },
      (_, i) => first + i,
    );
    const results = device.scope(() => {
      const { training } = device;
      const some = device.gatherRows(states, rows);
      const { terms, gradient } = rowLosses(device, some, head, rows, options);
      if (dStates) {
        training.addRows(dStates, rows, training.product("ab", gradient, head.value));
        if (head.gradient) training.product("aTb", gradient, some, head.gradient);
      }
      return terms.map(({ losses: tensor }) => tensor);
    });
    for (const [i, name] of termsOf(options.objective).entries()) {
      (losses[name] ??= []).push(results[i]!);
    }
  }
  return { losses, dStates };
}

const termsOf = ({ crossEntropy = 0, divergence = 0 }: Objective) => [
  ...(crossEntropy > 0 ? (["crossEntropy"] as const) : []),
  ...(divergence > 0 ? (["divergence"] as const) : []),
];

/** Losses of some rows, and the gradient of what the head gives. */
function rowLosses(
  device: TrainingDevice,
  states: Tensor,
  head: Parameter,
  rows: Int32Array,
  { objective, batch, teacher, factor, softCap }: HeadLossOptions,
) {
  const { training } = device;
  const before = training.product("abT", states, head.value);
  const logits = softCap === undefined ? before : device.softCap(before, softCap);
  const [first, end] = [rows[0]!, rows[0]! + rows.length];
  const weightsTimes = (weight: number) =>
    batch.weights.subarray(first, end).map((own) => own * factor * weight);
  const terms = termsOf(objective).map((term) => {
    const weights = weightsTimes(objective[term]!);
    if (term === "crossEntropy") {
      return training.crossEntropy(logits, batch.targets.subarray(first, end), weights);
    }
    const wanted = teacher!.rows(device, rows);
    return training.divergence(logits, wanted, objective.temperature ?? 1, weights);
  });
  const [{ gradient }, ...others] = terms as [(typeof terms)[0], ...typeof terms];
  for (const other of others) training.addScaled(gradient, other.gradient, 1);
  return {
    terms,
    gradient:
      softCap === undefined ? gradient : training.softCapBackward(logits, softCap, gradient),
  };
}

/** What enters a layer of the teacher and what its attention gives, `[tokens, hidden]` each. */
export interface AttentionRecord {
  readonly layer: number;
  readonly input: Tensor;
  readonly output: Tensor;
}

/**
 * Square of the difference between a layer's attention and the teacher's, both of the teacher's input, as a tensor `[1, 1]`;
 * `factor` times its gradient is added to those of the layer's parameters.
 */
export function attentionLoss(
  model: TrainableModel,
  { layer, input, output }: AttentionRecord,
  context: AttentionContext,
  factor: number,
): Tensor {
  const { device } = model;
  const tape = new Tape(device);
  const own = model.attention(tape, layer, constant(input), context);
  const difference = device.training.zeros(output.shape);
  device.training.addScaled(difference, own.value, 1);
  device.training.addScaled(difference, output, -1);
  const square = device.training.sumOfSquares(difference);
  const gradient = device.training.zeros(output.shape);
  device.training.addScaled(gradient, difference, 2 * factor);
  tape.backward(own, gradient);
  return square;
}
