import type { LatentAttentionConfig, ModelConfig, TensorSpec } from "@transmla/models";
import type { JsonObject } from "@transmla/tensor-io";
import type { FormatNeeds } from "../options";
import type { LatentWeights, NamedTensor } from "../weights";

/** A layout in which converted models are written: its row in the table of formats. */
export interface OutputFormat {
  /** What it asks of the methods. */
  readonly needs: FormatNeeds;
  /** Refuses what the format cannot say, by name. Throws `UnsupportedFormat`. */
  check(model: FormatModel): void;
  /** A layer's attention as it is written, from the attention that the method makes. */
  layerConfig(config: LatentAttentionConfig, hiddenSize: number): LatentAttentionConfig;
  /** Every tensor of the model with the attention as it is written, in the order in which they are stored. */
  tensors(config: ModelConfig): readonly TensorSpec[];
  /**
   * The attention tensors of a layer.
   *
   * @param gains weights of the norm before the attention, `[hidden]`
   */
  layerTensors(weights: LatentWeights, gains: Float32Array, prefix: string): NamedTensor[];
  /** The config.json. */
  config(model: FormatModel, details: { method: string; torchDType: string }): JsonObject;
}

/** A converted model as a format sees it. */
export interface FormatModel {
  /** config.json of the original. */
  readonly original: JsonObject;
  /** The converted model, its attention as the method makes it. */
  readonly config: ModelConfig;
}
