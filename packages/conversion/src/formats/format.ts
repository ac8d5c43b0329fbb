import type { LatentAttentionConfig, ModelConfig, TensorSpec } from "@transmla/models";
import type { Matrix } from "@transmla/low-rank";
import type { JsonObject } from "@transmla/tensor-io";
import type { FormatNeeds } from "../options";
import type { LatentWeights, NamedTensor, WrittenWeights } from "../weights";

/** A layout in which converted models are written: its row in the table of formats. */
export interface OutputFormat {
  /** What it asks of the methods. */
  readonly needs: FormatNeeds;
  /** Refuses what the format cannot say, by name. Throws `UnsupportedFormat`. */
  check(model: FormatModel): void;
  /** A layer's attention as it is written, from the attention that the method makes. */
  layerConfig(config: LatentAttentionConfig, hiddenSize: number): LatentAttentionConfig;
  /** The weights of that attention. What the format cannot say, biases or norms of its own, is worked into them. */
  layerWeights(weights: LatentWeights, input: LayerInput): Promise<LatentWeights>;
  /** Every tensor of the model with the attention as it is written, in the order in which they are stored. */
  tensors(config: ModelConfig): readonly TensorSpec[];
  /** The attention tensors of a layer, from `layerWeights`. */
  layerTensors(weights: WrittenWeights, prefix: string): NamedTensor[];
  /** The config.json of a model whose attention is as it is written. */
  config(model: FormatModel, details: { method: string; torchDType: string }): JsonObject;
}

/** A converted model as a format sees it. */
export interface FormatModel {
  /** config.json of the original. */
  readonly original: JsonObject;
  /** The converted model: its attention as the method makes it (`check`), or as it is written (`config`). */
  readonly config: ModelConfig;
}

/** What reaches a layer's attention. */
export interface LayerInput {
  /** Weights of the norm before it, `[hidden]`. */
  readonly gains: ArrayLike<number>;
  /** Absent where a method measures nothing. */
  readonly measured?: MeasuredInput | undefined;
}

/** A layer's attention input on the calibration text. */
export interface MeasuredInput {
  /** `E[x~ x~^T]`, `[hidden + 1, hidden + 1]` */
  readonly moment: Matrix;
  /** Rows of it, at least one sequence and about this many tokens: `[length, hidden]` each. */
  readonly samples: (tokens: number) => Promise<readonly Float32Array[]>;
}
