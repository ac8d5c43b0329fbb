import { TensorIoError } from "./errors";

/**
 * Element types of the safetensors format in its alignment order, which is also the order of tensors in a file
 * (reversed). All are little-endian.
 */
export const safetensorsDTypes = [
  "BOOL",
  "F4",
  "F6_E2M3",
  "F6_E3M2",
  "U8",
  "I8",
  "F8_E5M2",
  "F8_E4M3",
  "F8_E8M0",
  "F8_E4M3FNUZ",
  "F8_E5M2FNUZ",
  "I16",
  "U16",
  "F16",
  "BF16",
  "I32",
  "U32",
  "F32",
  "C64",
  "F64",
  "I64",
  "U64",
] as const;

/** Block types of GGUF files that this package decodes. */
export const ggufBlockDTypes = [
  "Q8_0",
  "Q4_0",
  "Q4_1",
  "Q5_0",
  "Q5_1",
  "Q4_K",
  "Q5_K",
  "Q6_K",
] as const;

/** An element type of the safetensors format. */
export type SafetensorsDType = (typeof safetensorsDTypes)[number];
/** A quantised block type of GGUF. */
export type GgufBlockDType = (typeof ggufBlockDTypes)[number];
/** An element type that a GGUF file can have. */
export type GgufDType =
  | GgufBlockDType
  | Extract<SafetensorsDType, "F32" | "F16" | "BF16" | "F64" | "I8" | "I16" | "I32" | "I64">;
/** How the values of a tensor are stored. */
export type TensorDType = SafetensorsDType | GgufBlockDType;

/** The smallest piece of storage: `elements` values take `bytes` bytes. */
export interface StorageBlock {
  readonly elements: number;
  readonly bytes: number;
}

const block = (elements: number, bytes: number): StorageBlock => ({ elements, bytes });

const storageBlocks: Readonly<Record<TensorDType, StorageBlock>> = {
  BOOL: block(1, 1),
  F4: block(2, 1),
  F6_E2M3: block(4, 3),
  F6_E3M2: block(4, 3),
  U8: block(1, 1),
  I8: block(1, 1),
  F8_E5M2: block(1, 1),
  F8_E4M3: block(1, 1),
  F8_E8M0: block(1, 1),
  F8_E4M3FNUZ: block(1, 1),
  F8_E5M2FNUZ: block(1, 1),
  I16: block(1, 2),
  U16: block(1, 2),
  F16: block(1, 2),
  BF16: block(1, 2),
  I32: block(1, 4),
  U32: block(1, 4),
  F32: block(1, 4),
  C64: block(1, 8),
  F64: block(1, 8),
  I64: block(1, 8),
  U64: block(1, 8),
  Q8_0: block(32, 34),
  Q4_0: block(32, 18),
  Q4_1: block(32, 20),
  Q5_0: block(32, 22),
  Q5_1: block(32, 24),
  Q4_K: block(256, 144),
  Q5_K: block(256, 176),
  Q6_K: block(256, 210),
};

/** The smallest piece of storage of an element type. @throws TensorIoError UnknownDType */
export function storageBlock(dtype: TensorDType): StorageBlock {
  const found = Object.hasOwn(storageBlocks, dtype) ? storageBlocks[dtype] : undefined;
  if (found !== undefined) return found;
  throw new TensorIoError("UnknownDType", `unknown element type ${JSON.stringify(dtype)}`, {
    dtype,
  });
}

/**
 * Bytes that `count` values take.
 * @throws TensorIoError MisalignedSlice when `count` values do not fill whole bytes or blocks; UnknownDType
 */
export function byteLengthOf(dtype: TensorDType, count: number): number {
  const { elements, bytes } = storageBlock(dtype);
  if (count % elements !== 0) {
    throw new TensorIoError(
      "MisalignedSlice",
      `${count} values of ${dtype} do not fill whole blocks of ${elements}`,
      { dtype, count, blockElements: elements },
    );
  }
  return (count / elements) * bytes;
}

/** True for the element types that a safetensors file can have. */
export function isSafetensorsDType(name: string): name is SafetensorsDType {
  return (safetensorsDTypes as readonly string[]).includes(name);
}
