import { JsonNumber, type GgufEntry } from "@transmla/tensor-io";
import { ModelsError } from "../errors";
import type { ModelFiles } from "../open-model";
import type { GgufWeights, PlannedGgufTensor } from "./gguf-tensor";

/** A model as an architecture of llama.cpp has it. */
export interface GgufModel {
  readonly architecture: string;
  readonly tensors: readonly PlannedGgufTensor[];
  /** By key after the architecture's prefix. */
  readonly settings: readonly GgufSetting[];
}

export type GgufSetting = readonly [key: string, entry: GgufEntry];

export const u32 = (value: number): GgufEntry => ({ type: "u32", value });
export const f32 = (value: number): GgufEntry => ({ type: "f32", value });

/** Describes a model, or refuses what the architecture cannot carry. @throws ModelsError `UnsupportedModel` */
export type DescribeModel = (files: ModelFiles, weights: GgufWeights) => GgufModel;

/** @param instead what to do, a sentence */
export function cannotCarry({ config }: ModelFiles, part: string, instead?: string): ModelsError {
  const { family } = config;
  const alternative = instead === undefined ? "" : ` ${instead}`;
  return new ModelsError(
    "UnsupportedModel",
    `GGUF files of llama.cpp cannot carry ${part} of this ${family} model.${alternative}`,
    { family, part },
  );
}

export function ropeTheta({ configJson }: ModelFiles): number {
  const theta = configJson.get("rope_theta");
  return theta instanceof JsonNumber ? theta.value : 10000;
}

/** What every architecture says about itself. */
export function commonSettings(files: ModelFiles): GgufSetting[] {
  const { maxPositions, hiddenSize, layers, normEpsilon, vocabSize } = files.config;
  return [
    ["context_length", u32(maxPositions)],
    ["embedding_length", u32(hiddenSize)],
    ["block_count", u32(layers.length)],
    ["feed_forward_length", u32(layers[0]!.feedForward.intermediateSize)],
    ["attention.head_count", u32(layers[0]!.attention.heads)],
    ["attention.layer_norm_rms_epsilon", f32(normEpsilon)],
    ["rope.freq_base", f32(ropeTheta(files))],
    ["vocab_size", u32(vocabSize)],
  ];
}
