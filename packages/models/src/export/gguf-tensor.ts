import {
  decodeToF32,
  encodeFromF32,
  ggufBlockDTypes,
  storageBlock,
  type Checkpoint,
  type GgufDType,
  type GgufTensorSpec,
  type TensorDType,
} from "@transmla/tensor-io";
import type { FusedPart } from "../deepseek/layout";
import { interleavedRows } from "../gguf/rotary-rows";
import { encodedPieces, encodedTensor } from "./encoding";

/** Element type of the matrices: one type, or `stored` for what each has where GGUF has it too (else F16). */
export type GgufWeights = "stored" | "F32" | "F16" | "BF16" | "Q8_0";

/** The bytes of a tensor of a GGUF file, made from tensors of a checkpoint, in pieces of whole rows. */
export type TensorSource = (
  checkpoint: Checkpoint,
  dtype: GgufDType,
  signal?: AbortSignal,
) => AsyncIterable<Uint8Array>;

/** A tensor of a GGUF file and where it comes from. */
export interface PlannedGgufTensor {
  readonly spec: GgufTensorSpec;
  readonly source: TensorSource;
}

/** A tensor as it is. */
export const copied =
  (name: string): TensorSource =>
  (checkpoint, dtype, signal) =>
    encodedPieces(checkpoint, name, dtype, signal);

/** Rows of every head from the half-split to the interleaved rotary layout. They move within a head, and the matrix is small enough to take whole. */
export const interleaved = (name: string, heads: number): TensorSource =>
  async function* (checkpoint, dtype, signal) {
    const rows = checkpoint.tensors.get(name)!.shape[0]!;
    yield interleavedRows(await encodedTensor(checkpoint, name, dtype, signal), rows, heads);
  };

/** Several tensors laid together, every row of a part at its place. */
export const fused = (parts: readonly FusedPart[]): TensorSource =>
  async function* (checkpoint, dtype, signal) {
    const rows = parts.reduce((sum, part) => sum + part.rows.length, 0);
    let whole: Uint8Array | undefined;
    for (const part of parts) {
      const bytes = await encodedTensor(checkpoint, part.name, dtype, signal);
      const rowBytes = bytes.length / part.rows.length;
      whole ??= new Uint8Array(rows * rowBytes);
      for (const [row, target] of part.rows.entries()) {
        whole.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), target * rowBytes);
      }
    }
    yield whole!;
  };

/** The block of every head transposed: `[heads * rows, columns]` → `[heads, columns, rows]`. */
export const transposedHeads = (name: string, heads: number): TensorSource =>
  async function* (checkpoint, dtype, signal) {
    const { shape } = checkpoint.tensors.get(name)!;
    const [rows, columns] = [shape[0]! / heads, shape[1]!];
    for (let head = 0; head < heads; head++) {
      const slice = { rows: [head * rows, (head + 1) * rows] as const, signal };
      const values = decodeToF32(
        await checkpoint.readBytes(name, slice),
        checkpoint.tensors.get(name)!.dtype,
      );
      const turned = new Float32Array(values.length);
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          turned[column * rows + row] = values[row * columns + column]!;
        }
      }
      yield encodeFromF32(turned, dtype, { tensor: name });
    }
  };

/** Tensors of one shape, one after the other: `[tensors, rows, columns]`. */
export const stacked = (names: readonly string[]): TensorSource =>
  async function* (checkpoint, dtype, signal) {
    for (const name of names) yield* encodedPieces(checkpoint, name, dtype, signal);
  };

/** Types of a checkpoint that a GGUF file can have, by name. */
const storedTypes: ReadonlySet<string> = new Set(["F32", "F16", "BF16", ...ggufBlockDTypes]);

/** The element type of a tensor: vectors are F32; rows that are no whole blocks, and types that GGUF lacks, F16. */
export function elementType(
  stored: TensorDType,
  shape: readonly number[],
  weights: GgufWeights,
): GgufDType {
  if (shape.length < 2) return "F32";
  const wanted = weights === "stored" ? stored : weights;
  if (!storedTypes.has(wanted)) return "F16";
  return shape.at(-1)! % storageBlock(wanted).elements === 0 ? (wanted as GgufDType) : "F16";
}
