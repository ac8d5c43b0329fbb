import type { Shape, WeightStorage } from "@transmla/kernels";
import { KernelsError } from "@transmla/kernels";
import { gpuRowBytes, weightFormats } from "../formats/weight-formats";
import type { Block } from "../runtime/buffer-pool";
import type { Gpu } from "../runtime/gpu";

/** Rows of a weight that lie in one buffer. */
export interface WeightPart {
  readonly block: Block;
  readonly first: number;
  readonly rows: number;
}

/** A weight on the GPU: whole rows in as few buffers as the adapter's binding size allows. */
export interface GpuWeight {
  readonly shape: Shape;
  readonly storage: WeightStorage;
  readonly parts: readonly WeightPart[];
}

/** Bytes written to the GPU at once. */
const PIECE_BYTES = 4 << 20;

/** @throws KernelsError `OutOfMemory`, before anything is allocated where the total is too much */
export function createWeight(gpu: Gpu, shape: Shape, storage: WeightStorage): GpuWeight {
  const [rows, columns] = shape;
  const rowBytes = gpuRowBytes(storage, columns);
  gpu.pool.checkTotal(rows * rowBytes);
  gpu.pool.checkBinding(rowBytes, "one row of a weight");
  const most = Math.floor((gpu.pool.bindingLimit - 16) / rowBytes) || 1;
  const parts: WeightPart[] = [];
  try {
    for (let first = 0; first < rows; first += most) {
      const count = Math.min(most, rows - first);
      const block = gpu.pool.create(count * rowBytes, "weights");
      parts.push({ block, first, rows: count });
    }
  } catch (error) {
    for (const { block } of parts) gpu.pool.destroy(block);
    throw error;
  }
  return { shape, storage, parts };
}

/** Brings rows into the GPU's layout and writes them, piece by piece. */
export function writeWeightRows(
  gpu: Gpu,
  weight: GpuWeight,
  first: number,
  rows: number,
  bytes: Uint8Array,
): void {
  const columns = weight.shape[1];
  const format = weightFormats[weight.storage];
  const gpuBytes = gpuRowBytes(weight.storage, columns);
  const sourceBytes = bytes.byteLength / rows;
  const step = Math.max(1, Math.floor(PIECE_BYTES / gpuBytes));
  for (const part of weight.parts) {
    const end = Math.min(first + rows, part.first + part.rows);
    for (let row = Math.max(first, part.first); row < end; row += step) {
      const count = Math.min(step, end - row);
      const from = (row - first) * sourceBytes;
      const source = bytes.subarray(from, from + count * sourceBytes);
      const packed = format.pack(source, count, columns);
      gpu.settle(part.block);
      gpu.device.queue.writeBuffer(
        part.block.buffer,
        (row - part.first) * gpuBytes,
        packed as Uint8Array<ArrayBuffer>,
      );
    }
  }
}

/** Elements of the kernel's buffer type in a row. */
export function rowElements({ storage, shape }: GpuWeight): number {
  const { element, rowWords } = weightFormats[storage];
  const words = { u32: 1, "vec2<u32>": 2, "vec4<u32>": 4 }[element];
  return rowWords(shape[1]) / words;
}

/** The buffer of a weight that cannot be in parts. @throws KernelsError `OutOfMemory` */
export function wholeWeight(weight: GpuWeight, name: string): Block {
  const [part, ...more] = weight.parts;
  if (more.length === 0) return part!.block;
  throw new KernelsError(
    "OutOfMemory",
    `${name} does not fit one buffer of this adapter; see its limit maxStorageBufferBindingSize.`,
    { name, parts: weight.parts.length },
  );
}
