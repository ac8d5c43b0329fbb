export { convert, type ConversionReport, type ConvertOptions, type LayerReport } from "./convert";
export { ConversionError, conversionErrors, type ConversionErrorCode } from "./errors";
export { nativeConfig } from "./formats/native";
export { methods, type MethodName } from "./methods";
export { exactConfig, exactLatent } from "./methods/exact";
export { jointCompression, lowRankQuery, type JointLatent } from "./methods/joint-compression";
export type {
  ConversionJob,
  ConversionMethod,
  ConvertedLayer,
  LayerConverter,
} from "./methods/method";
export { freqFoldCandidates, roRope, type RoRope, type RoRopeOptions } from "./methods/ro-rope";
export { transmlaLatent, transmlaRotation, type TransmlaSizes } from "./methods/transmla";
export type { ConversionOptions, LatentSizes, OutputDType } from "./options";
export { planConversion, type ConversionPlan, type PlannedTensor } from "./plan";
export type { ConversionProgress } from "./progress";
export {
  latentTensors,
  readGroupedWeights,
  type GroupedWeights,
  type LatentWeights,
  type NamedTensor,
} from "./weights";
