import type { Tensor } from "@transmla/kernels";
import { totalWeight, type Batch } from "./batch";
import { checkCount, type BatchStream } from "./documents";
import { TrainingError } from "./errors";
import {
  attentionLoss,
  checkObjective,
  headLoss,
  needsTeacher,
  type Losses,
  type Objective,
} from "./objective";
import { Optimiser, type OptimiserOptions } from "./optimiser";
import { schedule, type ScheduleOptions } from "./schedule";
import { Tape } from "./tape";
import { attentionScales, type Teacher } from "./teacher";
import type { TrainableModel } from "./trainable-model";

export interface TrainerOptions {
  readonly objective: Objective;
  /** Needed for a divergence and for attention. */
  readonly teacher?: Teacher | undefined;
  /** Steps of the whole run. */
  readonly steps: number;
  /** Highest learning rate. */
  readonly rate: number;
  readonly schedule?: ScheduleOptions | undefined;
  readonly optimiser?: OptimiserOptions | undefined;
  /** Batches whose gradients are summed before a step (default 1). */
  readonly accumulate?: number | undefined;
  /** See `ForwardOptions`. */
  readonly recompute?: boolean | undefined;
}

/** What one step did. */
export interface StepReport {
  /** From 1. */
  readonly step: number;
  /** The weighted sum of the terms. */
  readonly loss: number;
  readonly losses: Losses;
  readonly rate: number;
  /** Before clipping. */
  readonly gradientNorm: number;
  /** Inputs of the step. */
  readonly tokens: number;
  readonly seconds: number;
}

/** Trains a model step by step. */
export class Trainer {
  readonly optimiser: Optimiser;
  readonly #schedule: (step: number) => number;
  #attentionScales: readonly number[] | undefined;

  /** @throws TrainingError `InvalidOption`; KernelsError `OutOfMemory` */
  constructor(
    readonly model: TrainableModel,
    readonly data: BatchStream,
    readonly options: TrainerOptions,
  ) {
    const { objective, teacher, steps, rate, accumulate = 1 } = options;
    checkObjective(objective);
    checkCount("steps", steps, 1);
    checkCount("accumulate", accumulate, 1);
    if (!(rate > 0 && Number.isFinite(rate))) {
      throw new TrainingError("InvalidOption", `rate must be a number above 0, got ${rate}.`, {
        option: "rate",
        value: rate,
      });
    }
    if (needsTeacher(objective) && !teacher) {
      throw new TrainingError("InvalidOption", "This objective needs a teacher.", { objective });
    }
    this.#schedule = schedule(steps, options.schedule);
    this.optimiser = new Optimiser(model.parameters, options.optimiser);
  }

  /** Steps that were made. */
  get step(): number {
    return this.optimiser.step;
  }

  /**
   * Makes the next step. If it throws, parameters and moments are as before.
   *
   * @throws TrainingError `LossNotFinite`, `InvalidTokens`; KernelsError `OutOfMemory`; what the data throws
   */
  async next(): Promise<StepReport> {
    const started = performance.now();
    const { rate, accumulate = 1 } = this.options;
    const batches: Batch[] = [];
    while (batches.length < accumulate) batches.push(await this.data.next());
    const losses = await this.#gradients(batches);
    const loss = weightedSum(this.options.objective, losses);
    const gradientNorm = await this.optimiser.gradientNorm();
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) this.#refuse(loss, gradientNorm);
    const now = rate * this.#schedule(this.step);
    this.optimiser.update(now, gradientNorm);
    return {
      step: this.step,
      loss,
      losses,
      rate: now,
      gradientNorm,
      tokens: batches.reduce((sum, { ids }) => sum + ids.length, 0),
      seconds: (performance.now() - started) / 1000,
    };
  }

  /** Adds up the gradients of some batches; the losses are means over all of them. */
  async #gradients(batches: readonly Batch[]): Promise<Losses> {
    const { device } = this.model;
    const { objective } = this.options;
    const { crossEntropy = 0, divergence = 0, attention = 0 } = objective;
    const factor = 1 / Math.max(totalWeight(batches), Number.MIN_VALUE);
    const sums = { crossEntropy: 0, divergence: 0, attention: 0 };
    for (const batch of batches) {
      checkTokens(batch, this.model.config.vocabSize);
      if (divergence > 0) await this.options.teacher!.prepare?.(batch);
      if (crossEntropy + divergence > 0) {
        for (const [name, tensor] of this.#headGradients(batch, factor)) {
          sums[name] += await readSum(device.read(tensor));
          device.release(tensor);
        }
      }
      if (attention > 0) sums.attention += (await this.#attentionGradients(batch)) / batches.length;
    }
    return {
      crossEntropy: crossEntropy > 0 ? sums.crossEntropy / crossEntropy : undefined,
      divergence: divergence > 0 ? sums.divergence / divergence : undefined,
      attention: attention > 0 ? sums.attention : undefined,
    };
  }

  /** Gradients of the objective's terms over the vocabulary, and their losses in pieces. */
  #headGradients(batch: Batch, factor: number): (readonly [HeadTerm, Tensor])[] {
    const { device, head, config } = this.model;
    const { objective, teacher, recompute } = this.options;
    const names: HeadTerm[] = [];
    const tensors = device.scope(() => {
      const wanted = (objective.divergence ?? 0) > 0 ? teacher!.logits(batch) : undefined;
      const tape = new Tape(device);
      const states = this.model.forward(tape, batch, { recompute });
      const options = { objective, batch, teacher: wanted, factor, softCap: config.softCap };
      const { losses, dStates } = headLoss(device, states.value, head, options);
      tape.backward(states, dStates!);
      const found = Object.entries(losses) as [HeadTerm, Tensor[]][];
      names.push(...found.flatMap(([name, all]) => all.map(() => name)));
      return found.flatMap(([, all]) => all);
    });
    return tensors.map((tensor, i) => [names[i]!, tensor]);
  }

  /** Gradients of all layers' attention; the mean over layers of the relative square errors. */
  async #attentionGradients(batch: Batch): Promise<number> {
    const { model } = this;
    const { objective, teacher, accumulate = 1 } = this.options;
    const { device } = model;
    const scales = (this.#attentionScales ??= await attentionScales(
      teacher!,
      model,
      await this.data.first(),
    ));
    const count = scales.length * batch.ids.length * accumulate;
    const squares = device.scope(() => {
      const sums = device.training.zeros([scales.length, 1]);
      const context = model.context(batch);
      teacher!.visitAttention(batch, (record) => {
        const factor = objective.attention! / (count * scales[record.layer]!);
        const square = attentionLoss(model, record, context, factor);
        device.training.addRows(sums, Int32Array.of(record.layer), square);
      });
      return sums;
    });
    const values = await device.read(squares);
    device.release(squares);
    const relative = values.map((value, layer) => value / (scales[layer]! * batch.ids.length));
    return relative.reduce((sum, value) => sum + value, 0) / scales.length;
  }

  #refuse(loss: number, gradientNorm: number): never {
    const { device, parameters } = this.model;
    for (const { gradient } of parameters.trained) device.training.fill(gradient!, 0);
    throw new TrainingError(
      "LossNotFinite",
      `Step ${this.step + 1}: the loss is ${loss} and the norm of the gradients ${gradientNorm}; try a lower rate.`,
      { step: this.step + 1, loss, gradientNorm },
    );
  }

  /** Releases the optimiser; the model stays. */
  release(): void {
    this.optimiser.release();
  }
}

type HeadTerm = "crossEntropy" | "divergence";

/** Mean cross-entropy of the predictions of some batches, in nats. */
export async function meanCrossEntropy(
  model: TrainableModel,
  batches: readonly Batch[],
  signal?: AbortSignal,
): Promise<number> {
  const { device, head, config } = model;
  const factor = 1 / Math.max(totalWeight(batches), Number.MIN_VALUE);
  let sum = 0;
  for (const batch of batches) {
    signal?.throwIfAborted();
    checkTokens(batch, config.vocabSize);
    const tensors = device.scope(() => {
      const states = model.forward(new Tape(device), batch, { recompute: true });
      const objective = { crossEntropy: 1 };
      const { softCap } = config;
      const options = { objective, batch, teacher: undefined, factor, softCap, gradients: false };
      return headLoss(device, states.value, head, options).losses.crossEntropy!;
    });
    for (const tensor of tensors) {
      sum += await readSum(device.read(tensor));
      device.release(tensor);
    }
  }
  return sum;
}

async function readSum(read: Promise<Float32Array>): Promise<number> {
  return (await read).reduce((sum, value) => sum + value, 0);
}

function weightedSum(objective: Objective, losses: Losses): number {
  const terms = ["crossEntropy", "divergence", "attention"] as const;
  return terms.reduce((sum, name) => sum + (objective[name] ?? 0) * (losses[name] ?? 0), 0);
}

function checkTokens({ ids, targets, weights }: Batch, vocabSize: number): void {
  const wrong = ids.findIndex(
    (id, t) =>
      id < 0 ||
      id >= vocabSize ||
      (weights[t] !== 0 && !(targets[t]! >= 0 && targets[t]! < vocabSize)),
  );
  if (wrong < 0) return;
  throw new TrainingError(
    "InvalidTokens",
    `Token ${ids[wrong]} or the one after it lies beyond the vocabulary of ${vocabSize}. Is this the model's tokenizer?`,
    { token: ids[wrong], next: targets[wrong], vocabSize },
  );
}
