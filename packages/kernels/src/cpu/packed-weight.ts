import type { Shape, WeightStorage } from "../device";
import { ranges, type Call, type Pointer } from "./kernels";
import type { Runtime } from "./runtime";

/** Formats of panels and of incoming rows, as numbered in `assembly/storages.ts`. */
const FORMATS = {
  f32: 0,
  bf16: 1,
  f16: 2,
  i8: 3,
  q8_0: 4,
  q4_0: 5,
  q4_1: 6,
  q4_k: 7,
  q6_k: 8,
} as const satisfies Record<WeightStorage, number>;
/** Rows of f16 that become panels of f32. */
const WIDENED_F16 = 9;

/** Incoming rows pass through a buffer of about this size. */
const STAGING_BYTES = 2 ** 20;

/** A matrix in panels of rows (`assembly/panels.ts`). */
export interface Panels {
  readonly pointer: Pointer;
  readonly storage: number;
  /** Rows and bytes of one panel. */
  readonly panelRows: number;
  readonly panelBytes: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** A block of rows of a weight as a matrix of its own, or its transpose. */
export interface BlockKind {
  /** Number of equal blocks the weight is cut into. */
  readonly blocks: number;
  readonly transposed: boolean;
}

/**
 * A weight as the kernels read it, as wide in memory as it arrives. Only f16 beyond 64 (and infinities and NaN), which the
 * kernels' code for f16 does not reach, makes its whole matrix float32.
 */
export class PackedWeight implements Panels {
  pointer: Pointer;
  storage: number;
  panelRows: number;
  panelBytes: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly #runtime: Runtime;
  #format: number;
  /** Blocks made on demand, by kind; made again when rows change. */
  readonly #blocks = new Map<string, Panels[]>();

  constructor(runtime: Runtime, [outputs, inputs]: Shape, storage: WeightStorage) {
    this.#runtime = runtime;
    this.inputs = inputs;
    this.outputs = outputs;
    this.storage = FORMATS[storage];
    this.#format = this.storage;
    this.panelRows = runtime.panelRows(this.storage);
    this.panelBytes = runtime.panelBytes(this.storage, inputs);
    this.pointer = runtime.memory.allocateZeros(this.#panels * this.panelBytes);
  }

  /** Throws `OutOfMemory` where f16 must be widened. */
  writeRows(first: number, rows: number, bytes: Uint8Array): void {
    const { memory } = this.#runtime;
    this.#freeBlocks();
    if (rows === 0) return;
    const rowBytes = bytes.length / rows;
    const step = Math.max(8, 8 * Math.floor(STAGING_BYTES / rowBytes / 8));
    memory.temporarily((allocate) => {
      const staging = allocate(Math.min(rows, step) * rowBytes);
      for (let row = 0; row < rows;) {
        // Whole strips of 8 rows, so that threads write to different ones.
        const count = Math.min(step - ((first + row) % 8), rows - row);
        memory.bytes.set(bytes.subarray(row * rowBytes, (row + count) * rowBytes), staging);
        this.#pack(staging, first + row, count, rowBytes);
        row += count;
      }
    });
  }

  #pack(staging: Pointer, first: number, count: number, rowBytes: number): void {
    const runtime = this.#runtime;
    if (this.#format === FORMATS.f16 && !runtime.canCode(staging, count * this.inputs)) {
      this.#widen();
    }
    const before = first % 8;
    const pieces = count * this.inputs < 65_536 ? 1 : runtime.threads;
    runtime.run(
      ranges(before + count, pieces, 8).map((range): Call => {
        const from = Math.max(range.first, before);
        const rows = range.first + range.count - from;
        const source = staging + (from - before) * rowBytes;
        const row = first - before + from;
        return ["packRows", this.pointer, this.#format, source, row, rows, this.inputs];
      }),
    );
  }

  /** Turns the f16 panels into f32 panels. */
  #widen(): void {
    const { memory } = this.#runtime;
    const { inputs, outputs } = this;
    const panelRows = this.#runtime.panelRows(FORMATS.f32);
    const panelBytes = this.#runtime.panelBytes(FORMATS.f32, inputs);
    const pointer = memory.allocateZeros(Math.ceil(outputs / panelRows) * panelBytes);
    this.#runtime.run([["repack", pointer, this.pointer, this.storage, inputs, 0, outputs, 0]]);
    memory.free(this.pointer);
    this.pointer = pointer;
    this.panelRows = panelRows;
    this.panelBytes = panelBytes;
    this.storage = FORMATS.f32;
    this.#format = WIDENED_F16;
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

  /** Whole panels stay where they are; other blocks are copied, bf16 as it is and everything else as f32. */
  #makeBlock(block: number, rows: number, transposed: boolean): Panels {
    const { memory } = this.#runtime;
    const { storage, inputs, panelRows, panelBytes } = this;
    if (!transposed && rows % panelRows === 0) {
      const pointer = this.pointer + ((block * rows) / panelRows) * panelBytes;
      return { pointer, storage, panelRows, panelBytes, inputs, outputs: rows };
    }
    const shape = transposed ? { outputs: inputs, inputs: rows } : { outputs: rows, inputs };
    const kept = storage === FORMATS.bf16 ? storage : FORMATS.f32;
    const made = {
      storage: kept,
      panelRows: this.#runtime.panelRows(kept),
      panelBytes: this.#runtime.panelBytes(kept, shape.inputs),
      ...shape,
    };
    const pointer = memory.allocateZeros(
      Math.ceil(made.outputs / made.panelRows) * made.panelBytes,
    );
    const flag = transposed ? 1 : 0;
    this.#runtime.run([
      ["repack", pointer, this.pointer, storage, inputs, block * rows, rows, flag],
    ]);
    return { pointer, ...made };
  }

  #freeBlocks(): void {
    for (const { pointer } of [...this.#blocks.values()].flat()) {
      const end = this.pointer + this.#panels * this.panelBytes;
      if (pointer < this.pointer || pointer >= end) this.#runtime.memory.free(pointer);
    }
    this.#blocks.clear();
  }

  get #panels(): number {
    return Math.ceil(this.outputs / this.panelRows);
  }
}
