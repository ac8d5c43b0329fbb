export {
  attentionLoad,
  waysOf,
  type AttentionLoad,
  type DecodeWay,
  type Sharing,
} from "./deployment/attention-load";
export {
  Deployment,
  USABLE_MEMORY,
  type DecodeStep,
  type DeploymentOptions,
} from "./deployment/deployment";
export {
  deploymentRows,
  type DeploymentRow,
  type DeploymentSetting,
} from "./deployment/deployment-rows";
export { storedModel, writtenModel } from "./deployment/planned-models";
export { modelWeights, type ModelWeights, type PlannedModel } from "./deployment/model-weights";
export { deviceSheets, targetNamed, type DeviceName, type Target } from "./deployment/targets";
export { divergence, type Divergence } from "./divergence";
export { EvaluationError, evaluationErrors, type EvaluationErrorCode } from "./errors";
export {
  argmax,
  compareRows,
  logSumExp,
  negativeLogLikelihood,
  rowOf,
  type Row,
  type RowComparison,
} from "./log-probability";
export type { LogitSource, RecordedModel } from "./logit-source";
export { recordStates } from "./record";
export { perplexity, type Perplexity } from "./perplexity";
export {
  attentionWork,
  limitSeconds,
  measureLimits,
  prefillWork,
  weightWork,
  type Work,
} from "./roofline";
export { measureSpeed, SPEED_CHUNK, type SpeedOptions, type SpeedRow } from "./speed";
export { planWindows, type EvaluationOptions, type Progress } from "./windows";
