export { divergence, type Divergence } from "./divergence";
export { EvaluationError, evaluationErrors, type EvaluationErrorCode } from "./errors";
export {
  argmax,
  klDivergence,
  logSumExp,
  maxDifference,
  negativeLogLikelihood,
  rowOf,
  type Row,
} from "./log-probability";
export { perplexity, type Perplexity } from "./perplexity";
export {
  addWork,
  attentionWork,
  limitSeconds,
  measureLimits,
  weightWork,
  type MachineLimits,
  type Work,
} from "./roofline";
export { measureSpeed, type SpeedOptions, type SpeedRow } from "./speed";
export { planWindows, type EvaluationOptions, type Progress } from "./windows";
