import type { Device, Tensor, TrainingDevice } from "@transmla/kernels";
import { layerNormNames, Rotations, type ModelConfig, type ModelFiles } from "@transmla/models";
import { attention, type AttentionContext } from "./attention";
import type { Batch } from "./batch";
import { TrainingError } from "./errors";
import { Layer } from "./layer";
import { embed, gatedActivation, rmsNorm, scaled, sum } from "./operations";
import {
  loadParameters,
  type LoadParametersOptions,
  type Parameter,
  type Parameters,
} from "./parameters";
import type { Tape, Variable } from "./tape";

/** How a forward pass is made. */
export interface ForwardOptions {
  /** Keep only what enters each layer, and compute the rest again for the gradients (default false). */
  readonly recompute?: boolean | undefined;
  /** Sees what enters every layer and what its attention gives, both `[tokens, hidden]`, while they are there. */
  readonly onAttention?: ((layer: number, input: Tensor, output: Tensor) => void) | undefined;
}

/** A decoder whose parameters are tensors: the same mathematics as `Model`, over whole documents, without a cache. */
export class TrainableModel {
  private readonly layers: readonly Layer[];

  private constructor(
    readonly config: ModelConfig,
    readonly device: TrainingDevice,
    readonly parameters: Parameters,
  ) {
    this.layers = config.layers.map((_, layer) => new Layer(parameters, layer));
  }

  /**
   * Loads a model to be trained, or without `train` one that only answers. The files stay open and belong to the caller.
   *
   * @throws TrainingError `UnsupportedModel`, `NothingToTrain`, `InvalidOption`; KernelsError `OutOfMemory`; TensorIoError
   */
  static async load(
    files: Pick<ModelFiles, "config" | "checkpoint">,
    device: TrainingDevice,
    options: LoadParametersOptions = {},
  ): Promise<TrainableModel> {
    checkTrainable(files.config);
    return new TrainableModel(files.config, device, await loadParameters(files, device, options));
  }

  /** The output head `[vocab, hidden]`; the embedding where the two are tied. */
  get head(): Parameter {
    const { tiedEmbeddings } = this.config;
    return this.parameters.get(tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  }

  /** The normalised states that the head makes logits of, `[tokens, hidden]`. Within a scope of the device. */
  forward(
    tape: Tape,
    batch: Batch,
    { recompute = false, onAttention }: ForwardOptions = {},
  ): Variable {
    const { config, parameters } = this;
    const context = this.context(batch);
    const embedded = embed(tape, parameters.get("model.embed_tokens.weight"), batch.ids);
    const { embeddingFactor } = config;
    let x = embeddingFactor === 1 ? embedded : scaled(tape, embedded, embeddingFactor);
    for (const index of this.layers.keys()) {
      const run = (on: Tape, input: Variable) => this.layer(on, index, input, context, onAttention);
      x = recompute ? tape.recomputed(x, run) : run(tape, x);
    }
    return rmsNorm(tape, x, parameters.get("model.norm.weight"), config.normEpsilon);
  }

  /** The attention block of one layer, from the residual stream: `[tokens, hidden]` → `[tokens, hidden]`. */
  attention(tape: Tape, index: number, x: Variable, context: AttentionContext): Variable {
    const { config } = this;
    const layer = this.layers[index]!;
    const names = layerNormNames[config.layerNorms];
    const normed = layer.norm(tape, names.attentionInput, x, config.normEpsilon);
    return attention(tape, layer, config.layers[index]!.attention, normed, context);
  }

  /** What attention needs to know of a batch: documents and rotations, in the scope that is open. */
  context({ documents, positions }: Batch): AttentionContext {
    const lists = this.config.layers.map((layer) => layer.attention.frequencies);
    const forwards = new Rotations(this.device, positions, lists);
    const back = positions.map((position) => -position);
    const backwards = new Rotations(this.device, back, lists);
    return {
      documents,
      rotation: (frequencies) => {
        const turn = forwards.table(frequencies);
        const turnBack = backwards.table(frequencies);
        return turn && turnBack && { forwards: turn, backwards: turnBack, rows: forwards.rows };
      },
    };
  }

  private layer(
    tape: Tape,
    index: number,
    x: Variable,
    context: AttentionContext,
    onAttention: ForwardOptions["onAttention"],
  ): Variable {
    const { config } = this;
    const layer = this.layers[index]!;
    const names = layerNormNames[config.layerNorms];
    const norm = (name: string | undefined, rows: Variable) =>
      name === undefined ? rows : layer.norm(tape, name, rows, config.normEpsilon);
    const mixed = this.attention(tape, index, x, context);
    onAttention?.(index, x.value, mixed.value);
    const h = sum(tape, x, norm(names.attentionOutput, mixed));
    const output = this.feedForward(tape, index, norm(names.feedForwardInput, h));
    return sum(tape, h, norm(names.feedForwardOutput, output));
  }

  /** `down(activation(gate x) * up x)` */
  private feedForward(tape: Tape, index: number, x: Variable): Variable {
    const layer = this.layers[index]!;
    const { activation } = this.config.layers[index]!.feedForward;
    const gate = layer.project(tape, "mlp.gate_proj", x);
    const up = layer.project(tape, "mlp.up_proj", x);
    return layer.project(tape, "mlp.down_proj", gatedActivation(tape, gate, up, activation));
  }

  /** Releases all parameters. */
  release(): void {
    this.parameters.release();
  }
}

/** Throws TrainingError `UnsupportedModel` for what has no gradient. */
export function checkTrainable(config: ModelConfig): void {
  const layer = config.layers.findIndex(({ feedForward }) => feedForward.kind !== "gated");
  if (layer < 0) return;
  throw new TrainingError(
    "UnsupportedModel",
    `Layer ${layer} has a mixture of experts, which cannot be trained yet.`,
    { layer },
  );
}

/** Throws TrainingError `UnsupportedDevice` for a device that only runs models. */
export function asTrainingDevice(device: Device): TrainingDevice {
  if ("training" in device) return device as TrainingDevice;
  throw new TrainingError(
    "UnsupportedDevice",
    `The ${device.name} device runs models but does not train them; use cpu or webgpu.`,
    { device: device.name },
  );
}
