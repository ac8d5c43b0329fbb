/**
 * A small real language model with its tokenizer and two texts, to run examples and tests without a network.
 *
 * @packageDocumentation
 */
export { SampleModelError, sampleModelErrors, type SampleModelErrorCode } from "./errors";
export {
  calibrationTextUrl,
  evaluationTextUrl,
  modelFolderPath,
  modelUrl,
  sampleModelFiles,
  type SampleModelFile,
} from "./files";
