export type { Checkpoint, ReadOptions, TensorInfo } from "./checkpoint";
export { decodeToF32 } from "./decode";
export {
  byteLengthOf,
  ggufBlockDTypes,
  isSafetensorsDType,
  safetensorsDTypes,
  storageBlock,
} from "./dtype";
export type {
  GgufBlockDType,
  GgufDType,
  SafetensorsDType,
  StorageBlock,
  TensorDType,
} from "./dtype";
export { encodeFromF32 } from "./encode";
export type { EncodeOptions } from "./encode";
export { TensorIoError, tensorIoErrors } from "./errors";
export type { TensorIoErrorCode } from "./errors";
export { fileListFolder, memoryFolder, writeFile } from "./folder";
export type { ModelFolder, WritableFolder } from "./folder";
export { folder } from "./folder-node";
export { ggufEntries } from "./gguf/entries";
export type { GgufEntry, GgufNumber } from "./gguf/entries";
export { planGguf } from "./gguf/plan";
export type { GgufTensorSpec } from "./gguf/plan";
export { openGguf } from "./gguf/read";
export type { GgufCheckpoint } from "./gguf/read";
export type { GgufNumbers, GgufNumberType, GgufValue } from "./gguf/values";
export { writeGguf } from "./gguf/write";
export { formatJson } from "./json/format-json";
export { JsonCursor } from "./json/json-cursor";
export type { NumberRange } from "./json/json-cursor";
export { JsonNumber, parseStrictJson } from "./json/strict-json";
export type { JsonLimits, JsonObject, JsonValue } from "./json/strict-json";
export type { Overflow } from "./minifloat";
export { isGguf, openCheckpoint } from "./open";
export type { HeaderTensor } from "./safetensors/header";
export { planSafetensors } from "./safetensors/plan";
export type { SafetensorsPlan, TensorSpec } from "./safetensors/plan";
export { openSafetensors } from "./safetensors/read";
export type { OpenOptions } from "./safetensors/read";
export { openSafetensorsFolder } from "./safetensors/sharded";
export { writeSafetensors } from "./safetensors/write";
export type { WriteOptions } from "./safetensors/write";
export { planShards, ShardedWriter } from "./safetensors/write-sharded";
export type { ShardedPlan, ShardingOptions, ShardPlan } from "./safetensors/write-sharded";
export { sha256 } from "./sha256";
export { memorySink } from "./sink";
export type { ByteSink, MemorySink } from "./sink";
export { fileSink } from "./sink-node";
export { blobSource, bytesSource } from "./source";
export type { ByteSource } from "./source";
export { fileSource } from "./source-node";
export { urlSource } from "./source-url";
export type { UrlSourceOptions } from "./source-url";
export { TensorWriter } from "./tensor-writer";
export type { FilePlan, PlacedTensor, TensorData, WriteTensorsOptions } from "./tensor-writer";
