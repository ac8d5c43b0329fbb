export { packBatch, type Batch, type Document } from "./batch";
export {
  BatchStream,
  documentList,
  textDocuments,
  type BatchOptions,
  type DataPosition,
  type DocumentSource,
} from "./documents";
export { TrainingError, trainingErrors, type TrainingErrorCode } from "./errors";
export type { AttentionRecord, Losses, Objective } from "./objective";
export type { OptimiserOptions } from "./optimiser";
export {
  patterns,
  type AdapterOptions,
  type LoadParametersOptions,
  type ParameterPattern,
  type ParameterStorage,
} from "./parameters";
export { schedule, scheduleNames, type ScheduleName, type ScheduleOptions } from "./schedule";
export { checkTeacher, modelTeacher, type Teacher, type TeacherLogits } from "./teacher";
export { asTrainingDevice, checkTrainable, TrainableModel } from "./trainable-model";
export { meanCrossEntropy, Trainer, type StepReport, type TrainerOptions } from "./trainer";
export {
  conversationDocuments,
  type ConversationOptions,
  type ConversationTokenizer,
} from "./conversations";
export { memoryPlan, type MemoryPlan, type MemoryPlanOptions } from "./memory-plan";
export { train, type TrainOptions } from "./train";
export { trainedFiles, type TrainedDType } from "./trained-checkpoint";
export {
  restoreState,
  saveState,
  STATE_FILE,
  type Curve,
  type RunSettings,
  type ValidationPoint,
} from "./training-state";
export { openTeacherCache, writeTeacherCache, type TeacherCacheOptions } from "./teacher-cache";
