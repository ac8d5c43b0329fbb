import type { Shape, WeightStorage } from "../device";
import type { Pointer } from "./kernels";
import type { Runtime } from "./runtime";

/** Layouts of panels, as numbered in `assembly/panels.ts`. */
const F32 = 0;
const BF16 = 1;
/** Formats of incoming rows, as numbered in `assembly/panels.ts`. */
const FORMATS = { f32: 0, bf16: 1, f16: 2 } as const satisfies Record<WeightStorage, number>;

/** Incoming rows pass through a buffer of about this size. */
const STAGING_BYTES = 2 ** 20;

/** A matrix in panels of 8 rows (`assembly/panels.ts`). */
export interface Panels {
  readonly pointer: Pointer;
  readonly storage: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Bytes of one panel: 8 rows of a matrix. */
export function panelBytes(storage: number, inputs: number): number {
  return inputs * (storage === F32 ? 32 : 16);
}

/** A block of rows of a weight as a matrix of its own, or its transpose. */
export interface BlockKind {
  /** Number of equal blocks the weight is cut into. */
  readonly blocks: number;
  readonly transposed: boolean;
}

/**
 * A weight as the kernels read it. bf16 stays 16 bits wide; f16 is widened to float32 when written, because its
 * conversion in the inner loop would cost more than the bandwidth it saves.
 */
export class PackedWeight implements Panels {
  readonly pointer: Pointer;
  readonly storage: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly #runtime: Runtime;
  readonly #format: number;
  /** Blocks made on demand, by kind; made again when rows change. */
  readonly #blocks = new Map<string, Panels[]>();

  constructor(runtime: Runtime, [outputs, inputs]: Shape, storage: WeightStorage) {
    this.#runtime = runtime;
    this.inputs = inputs;
    this.outputs = outputs;
    this.storage = storage === "bf16" ? BF16 : F32;
    this.#format = FORMATS[storage];
    this.pointer = runtime.memory.allocateZeros(this.#bytesOf(outputs, inputs));
  }

  writeRows(first: number, rows: number, bytes: Uint8Array): void {
    const { memory } = this.#runtime;
    this.#freeBlocks();
    if (rows === 0) return;
    const rowBytes = bytes.length / rows;
    const step = Math.min(rows, Math.max(1, Math.floor(STAGING_BYTES / rowBytes)));
    memory.temporarily((allocate) => {
      const staging = allocate(step * rowBytes);
      for (let row = 0; row < rows; row += step) {
        const count = Math.min(step, rows - row);
        memory.bytes.set(bytes.subarray(row * rowBytes, (row + count) * rowBytes), staging);
        const { pointer, inputs } = this;
        this.#runtime.run([
          ["packRows", pointer, this.#format, staging, first + row, count, inputs],
        ]);
      }
    });
  }

  /** The blocks of a kind, in order. Throws `OutOfMemory`. */
  blocks({ blocks, transposed }: BlockKind): readonly Panels[] {
    const key = `${blocks} ${transposed}`;
    const known = this.#blocks.get(key);
    if (known) return known;
    const made: Panels[] = [];
    this.#blocks.set(key, made);
    try {
      for (let block = 0; block < blocks; block++) {
        made.push(this.#makeBlock(block, this.outputs / blocks, transposed));
      }
    } catch (error) {
      this.#freeBlocks();
      throw error;
    }
    return made;
  }

  free(): void {
    this.#freeBlocks();
    this.#runtime.memory.free(this.pointer);
  }

  #makeBlock(block: number, rows: number, transposed: boolean): Panels {
    const { memory } = this.#runtime;
    const { storage, inputs } = this;
    if (!transposed && rows % 8 === 0) {
      const pointer = this.pointer + this.#bytesOf(block * rows, inputs);
      return { pointer, storage, inputs, outputs: rows };
    }
    const shape = transposed ? { outputs: inputs, inputs: rows } : { outputs: rows, inputs };
    const pointer = memory.allocateZeros(this.#bytesOf(shape.outputs, shape.inputs));
    const flag = transposed ? 1 : 0;
    this.#runtime.run([
      ["repack", pointer, this.pointer, storage, inputs, block * rows, rows, flag],
    ]);
    return { pointer, storage, ...shape };
  }

  #freeBlocks(): void {
    for (const block of [...this.#blocks.values()].flat()) {
      const inside =
        block.pointer >= this.pointer &&
        block.pointer < this.pointer + this.#bytesOf(this.outputs, this.inputs);
      if (!inside) this.#runtime.memory.free(block.pointer);
    }
    this.#blocks.clear();
  }

  #bytesOf(outputs: number, inputs: number): number {
    return Math.ceil(outputs / 8) * panelBytes(this.storage, inputs);
  }
}
