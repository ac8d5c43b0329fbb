export { calibrationSequences, type CalibrationSize } from "./calibration-sequences";
export { draftModel } from "./engine/draft-model";
export type { Drafter, DraftSession } from "./engine/drafter";
export { Engine, type EngineOptions } from "./engine/engine";
export { promptLookup, type PromptLookupOptions } from "./engine/prompt-lookup";
export type { WindowOptions } from "./engine/sliding-window";
export type {
  ChoiceSummary,
  ChoiceTimings,
  EngineLoad,
  EngineRequest,
  EngineRun,
  EngineToken,
  TokenConstraint,
} from "./engine/request";
export { GenerationError, generationErrors, type GenerationErrorCode } from "./errors";
export { generate, Generation, type GenerateOptions, type GenerationSummary } from "./generate";
export { Random } from "./random";
export { logProbabilities, type TokenLogProbabilities } from "./log-probabilities";
export { filterLogits, Sampler, type TokenHistory } from "./sampling";
export {
  addBias,
  applyTemperature,
  keepMinP,
  keepTopK,
  keepTopP,
  largest,
  penaliseCounts,
  penaliseRepetition,
  pick,
  softmax,
} from "./sampling-filters";
export { checkSampling, type CheckedSampling, type SamplingOptions } from "./sampling-options";
export { JsonConstraint, JsonConstraints } from "./structured/json-constraint";
export { schemaGrammar } from "./structured/json-schema";
export type { TemplateBudget } from "./template/budget";
export { ChatTemplate, type ChatMessage, type RenderOptions } from "./template/chat-template";
export { StopMatcher } from "./stop-matcher";
export {
  generateText,
  streamText,
  TextStream,
  type StreamTextOptions,
  type TextPiece,
} from "./stream-text";
export { companionFiles } from "./tokenizer/companion-files";
export { tokenizerJsonFromGguf, type GgufMetadata, type TokenizerFiles } from "./tokenizer/gguf";
export { tokenizerGgufEntries, type TokenizerSource } from "./tokenizer/gguf-entries";
export { loadTokenizer, type TokenizerOrigin } from "./tokenizer/load-tokenizer";
export { StreamDecoder, type StreamDecoderOptions } from "./tokenizer/stream-decoder";
export { Tokenizer, type DecodeOptions, type EncodeOptions } from "./tokenizer/tokenizer";
export type { ConversationState, GrowingConversation } from "./text/conversation";
export { TextEngine, TextRun, type TextLimits, type TokenEngine } from "./text/text-engine";
export type {
  ChosenToken,
  Conversation,
  Prompt,
  TextEnd,
  TextEvent,
  TextFormat,
  TextRequest,
  TextToken,
} from "./text/text-request";
