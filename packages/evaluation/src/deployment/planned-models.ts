import { deviceKit } from "@transmla/kernels";
import {
  type ModelConfig,
  type ModelFiles,
  type TensorSpec,
  type WeightPrecision,
} from "@transmla/models";
import { storageBlock, type TensorDType } from "@transmla/tensor-io";
import type { PlannedModel } from "./model-weights";

/** A model as it is stored, or with its matrices rounded to another precision: for `Deployment`, from headers alone. */
export function storedModel(
  { config, checkpoint }: Pick<ModelFiles, "config" | "checkpoint">,
  precision: WeightPrecision = "stored",
): PlannedModel {
  const stored = ({ name }: TensorSpec) => checkpoint.tensors.get(name)!.byteLength;
  return { config, tensorBytes: inPrecision(stored, precision) };
}

/** A model that is still to be written: a `ConversionPlan` of `@transmla/conversion`, or anything else that names its tensors' types. */
export function writtenModel(
  plan: {
    readonly config: ModelConfig;
    readonly tensors: readonly { readonly name: string; readonly dtype: TensorDType }[];
  },
  precision: WeightPrecision = "stored",
): PlannedModel {
  const types = new Map(plan.tensors.map(({ name, dtype }) => [name, dtype]));
  const written = ({ name, shape }: TensorSpec) => {
    const { elements, bytes } = storageBlock(types.get(name)!);
    return (shape.reduce((product, size) => product * size, 1) / elements) * bytes;
  };
  return { config: plan.config, tensorBytes: inPrecision(written, precision) };
}

function inPrecision(
  stored: (tensor: TensorSpec) => number,
  precision: WeightPrecision,
): (tensor: TensorSpec) => number {
  if (precision === "stored") return stored;
  return (tensor) => {
    const [rows = 0, columns] = tensor.shape;
    return columns === undefined ? stored(tensor) : rows * deviceKit.rowBytes(precision, columns);
  };
}
