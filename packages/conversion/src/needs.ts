import { layerTensors } from "@transmla/models";
import { diskNeeds } from "./disk-needs";
import { keyFeatures } from "./features";
import { methods, type MethodName } from "./methods";
import type { ConversionPlan } from "./plan";

/** What a conversion is going to take, before it is begun. */
export interface ConversionNeeds {
  /** Estimated, of computing; copying weights comes on top. */
  readonly seconds: number;
  /** Estimated peak of the whole process. */
  readonly memoryBytes: number;
  /** `DiskNeeds.output` */
  readonly outputBytes: number;
  /** `DiskNeeds.layers` */
  readonly resumeBytes: number;
}

export interface ConversionSetting {
  /** Calibration tokens. */
  readonly tokens: number;
  /** Operations per second of a large matrix product on the device that converts. */
  readonly gemm: number;
}

/**
 * Time of a method at the rate of a large product: passes of the calibration text through the model, and operations per head and layer
 * that do not depend on the text (the score refit takes a fixed number of tokens). Fitted to SmolLM2-135M at 90 GFLOP/s: `transmla` with
 * freqfold chosen 82 s for 4,096 tokens; `output-aware` 111 s for 4,096 and 339 s for 16,384 (docs/decisions 0008 and 0009), before layers had
 * sizes of their own. The larger score refit (0018) took 84 s more on one thread at 48 GFLOP/s, 15e9 operations a head.
 */
const costs: Readonly<Record<MethodName, { readonly passes: number; readonly perHead: number }>> = {
  exact: { passes: 0, perHead: 0 },
  transmla: { passes: 9, perHead: 0 },
  "output-aware": { passes: 8, perHead: 27e9 },
};

/** A process that has converted nothing yet, with a compiled device: bytes. */
const PROCESS_BYTES = 120e6;
/** What calibration needs whatever its text: batches on the device, the equations of the score refit. Measured on the sample model. */
const CALIBRATION_BYTES = 180e6;
/** Float32 copies of the calibration text's states: both streams, and what the layer's attention did. */
const STATES = 5;
/** Square float64 matrices of what keys and values are made of: the second moment, its roots and their work space. */
const SQUARES = 6;

/** What executing a plan needs. No weight is read. */
export function conversionNeeds(
  plan: ConversionPlan,
  { tokens, gemm }: ConversionSetting,
): ConversionNeeds {
  const { files, method } = plan;
  const { passes, perHead } = costs[method];
  const { output, layers } = diskNeeds(plan);
  const heads = files.config.layers.reduce((sum, { attention }) => sum + attention.heads, 0);
  return {
    seconds: (passes * 2 * tokens * usedNumbers(plan) + perHead * heads) / gemm,
    memoryBytes: memoryNeeds(plan, tokens),
    outputBytes: output,
    resumeBytes: layers,
  };
}

/** Estimated peak of the whole process, in bytes, for so many calibration tokens. No weight is read. */
export function memoryNeeds(plan: ConversionPlan, tokens: number): number {
  const { hiddenSize, layers } = plan.files.config;
  const features = Math.max(...layers.map((layer) => keyFeatures(layer.attention, hiddenSize)));
  const measured = methods[plan.method].needsCalibration
    ? CALIBRATION_BYTES + 4 * STATES * tokens * hiddenSize + 8 * SQUARES * (features + 1) ** 2
    : 0;
  return PROCESS_BYTES + measured + layerBytes(plan);
}

/** Numbers of all layers that one token meets: of experts those that it chooses. */
function usedNumbers({ files, tensors }: ConversionPlan): number {
  let numbers = 0;
  for (const tensor of tensors) {
    const layer = /^model\.layers\.(\d+)\./.exec(tensor.name)?.[1];
    if (layer === undefined) continue;
    const { feedForward } = files.config.layers[Number(layer)];
    const expert = feedForward.kind === "experts" && tensor.name.includes(".experts.");
    numbers += numbersOf([tensor]) * (expert ? feedForward.topK / feedForward.experts : 1);
  }
  return numbers;
}

/** The widest layer as it is stored, its attention and the converted one in float64, and that as it is written. */
function layerBytes({ files, tensors }: ConversionPlan): number {
  const widest = files.config.layers.map((_, layer) => {
    const stored = layerTensors(files.config, layer);
    const attention = stored.filter(({ name }) => name.includes(".self_attn."));
    const made = tensors.filter(({ convertedLayer }) => convertedLayer === layer);
    const bytes = stored.reduce(
      (sum, { name }) => sum + files.checkpoint.tensors.get(name)!.byteLength,
      0,
    );
    return bytes + 8 * numbersOf(attention) + 12 * numbersOf(made);
  });
  return Math.max(...widest);
}

function numbersOf(tensors: readonly { readonly shape: readonly number[] }[]): number {
  return tensors.reduce(
    (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  );
}
