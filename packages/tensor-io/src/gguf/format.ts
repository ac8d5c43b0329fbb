import type { GgufDType } from "../dtype";

/** What readers and writers of GGUF share: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md */

/** "GGUF" as a little-endian u32. */
export const magic = 0x46554747;
export const defaultAlignment = 32;
export const maxRank = 4;
/** GGML_MAX_NAME less the terminating zero. */
export const maxNameBytes = 63;
export const maxKeyBytes = 65_535;
/** Keys or tensors; the largest public models have some thousands. */
export const maxEntries = 2 ** 20;

/** By the type number of the file (`enum ggml_type`). */
export const tensorTypes: Readonly<Record<number, GgufDType>> = {
  0: "F32",
  1: "F16",
  2: "Q4_0",
  3: "Q4_1",
  6: "Q5_0",
  7: "Q5_1",
  8: "Q8_0",
  12: "Q4_K",
  13: "Q5_K",
  14: "Q6_K",
  24: "I8",
  25: "I16",
  26: "I32",
  27: "I64",
  28: "F64",
  30: "BF16",
};

/** The smallest multiple of `alignment` from `position` on. */
export const pad = (position: number, alignment: number) =>
  Math.ceil(position / alignment) * alignment;

export const isPowerOfTwo = (value: number) => value > 0 && Number.isInteger(Math.log2(value));
export const utf8Length = (text: string) => new TextEncoder().encode(text).byteLength;
