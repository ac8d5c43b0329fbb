export { GenerationError, generationErrors, type GenerationErrorCode } from "./errors";
export { tokenizerJsonFromGguf, type GgufMetadata, type TokenizerFiles } from "./tokenizer/gguf";
export { loadTokenizer, type TokenizerOrigin } from "./tokenizer/load-tokenizer";
export { StreamDecoder, type StreamDecoderOptions } from "./tokenizer/stream-decoder";
export { Tokenizer, type DecodeOptions, type EncodeOptions } from "./tokenizer/tokenizer";
