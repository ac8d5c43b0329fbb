export type { AttentionContext, AttentionLayer, ScorePart } from "./attention/attention-layer";
export { cachePlanes } from "./attention/planes";
export { GroupedAttentionLayer } from "./attention/grouped";
export { LatentAttentionLayer } from "./attention/latent";
export { appendBatch, type Batch, type ModelStep } from "./batch";
export { families, type Family } from "./config/families";
export {
  cacheNumbersPerToken,
  kvCacheNumbersPerToken,
  type AttentionConfig,
  type DeepseekExperts,
  type ExpertsFeedForwardConfig,
  type FeedForwardConfig,
  type GatedFeedForwardConfig,
  type GroupedAttentionConfig,
  type HeadNorms,
  type LatentAttentionConfig,
  type LayerConfig,
  type ModelConfig,
} from "./config/model-config";
export { headNormsOf, NATIVE_FORMAT_VERSION } from "./config/native";
export { NATIVE_MODEL_TYPE, parseConfig } from "./config/parse-config";
export { ropeFrequencies } from "./config/rope";
export { LATENT_NORM_EPSILON, type DeepseekFamily } from "./deepseek/config";
export { deepseekTensors, type DeepseekTensor, type FusedPart } from "./deepseek/layout";
export { DecoderLayer, loadAttention, loadDecoderLayer } from "./decoder-layer";
export { describeModel, type ModelDescription, type PerLayer } from "./describe-model";
export { embedTokens, outputLogits } from "./ends";
export { ModelsError, modelsErrors, type ModelsErrorCode } from "./errors";
export {
  planGgufExport,
  writeGgufExport,
  type GgufExportOptions,
  type GgufExportPlan,
  type GgufWeights,
  type PlannedGgufTensor,
} from "./export/gguf";
export type { ExportProgress } from "./export/progress";
export {
  planSafetensorsExport,
  writeSafetensorsExport,
  type SafetensorsExportOptions,
  type SafetensorsExportPlan,
  type SafetensorsExportTarget,
  type SafetensorsWeights,
} from "./export/safetensors";
export { loadModel, type LoadOptions } from "./load";
export { memoryNeeds } from "./memory-needs";
export { Model, type ModelParts } from "./model";
export { modelFromConfig } from "./model-from-config";
export { openModel, readConfig, type ModelFiles } from "./open-model";
export { Rotations } from "./rotations";
export {
  attentionPrefix,
  attentionTensors,
  checkTensors,
  layerNormNames,
  layerPrefix,
  layerTensors,
  modelTensors,
  type TensorSpec,
} from "./tensors";
export type { LayerTrace, TokenTrace, TracedPlane, TraceOptions } from "./trace";
export {
  project,
  WeightLoader,
  weightStorage,
  type Projection,
  type WeightPrecision,
} from "./weights";
