export { convert, type ConversionReport, type ConvertOptions, type LayerReport } from "./convert";
export { diskNeeds, type DiskNeeds } from "./disk-needs";
export { ConversionError, conversionErrors, type ConversionErrorCode } from "./errors";
export type { FeatureMoments, OfFeatures } from "./features";
export { formats, type FormatName } from "./formats";
export { stockWeights } from "./formats/deepseek";
export type { FormatModel, OutputFormat } from "./formats/format";
export { nativeConfig } from "./formats/native";
export { neutralNorm, type NeutralNorm } from "./formats/neutral-norm";
export { methods, type MethodName } from "./methods";
export { exactConfig, exactLatent } from "./methods/exact";
export { jointCompression, lowRankQuery, type JointLatent } from "./methods/joint-compression";
export type {
  ConversionJob,
  ConversionMethod,
  ConvertedLayer,
  LayerConverter,
} from "./methods/method";
export {
  ExpectedPhase,
  phaseValues,
  type ExpectedPhases,
} from "./methods/output-aware/expected-phase";
export { outputAwareLatent, type OutputAwareLatent } from "./methods/output-aware/factorisation";
export {
  outputAwareWeights,
  type InitialWeights,
  type OutputAwareSizes,
} from "./methods/output-aware/output-aware";
export { OutputRefit, tokenWeights } from "./methods/output-aware/output-refit";
export type { ScoreEquations, ScoreShape } from "./methods/output-aware/score-operator";
export {
  refitScores,
  type FittedScores,
  type ScoreRefitOptions,
} from "./methods/output-aware/score-refit";
export {
  scoreSample,
  type MeasuredQueries,
  type ScoreSample,
} from "./methods/output-aware/score-samples";
export {
  complexRotations,
  queryEnergies,
  type FrequencyRotation,
} from "./methods/output-aware/rotations";
export { selectRotated, type KeyComponent } from "./methods/output-aware/selection";
export { ladderComponents, ladderFrequencies } from "./methods/output-aware/ladder";
export {
  splitKeys,
  splitQueries,
  type SplitKeys,
  type SplitQueries,
} from "./methods/output-aware/split";
export {
  stepNames,
  type OutputAwareStep,
  type OutputAwareSteps,
} from "./methods/output-aware/steps";
export { freqFoldCandidates, roRope, type RoRope, type RoRopeOptions } from "./methods/ro-rope";
export { transmlaLatent, transmlaRotation, type TransmlaSizes } from "./methods/transmla";
export { removeLeftoverLayers, savedLayers } from "./resume/layer-store";
export type { ConversionOptions, FormatNeeds, LatentSizes, OutputDType } from "./options";
export {
  conversionNeeds,
  memoryNeeds,
  type ConversionNeeds,
  type ConversionSetting,
} from "./needs";
export { planConversion, type ConversionPlan, type PlannedTensor } from "./plan";
export { planUpperBound } from "./upper-bound";
export type { ConversionProgress } from "./progress";
export {
  inSinglePrecision,
  latentTensors,
  readGroupedWeights,
  type GroupedWeights,
  type LatentWeights,
  type NamedTensor,
  type SingleMatrix,
  type WrittenWeights,
} from "./weights";
