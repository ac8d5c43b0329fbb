import { deviceKit, type CacheStorage, type Shape } from "@transmla/kernels";
import { discard, handleOf, toHost, type GpuQueue, type Handle, type Matrix } from "./gpu-queue";
import { Storage } from "./storage";

/** One plane of a cache: float32 rows on the GPU, rounded to its storage; scales of rows of signed bytes stay on the host. */
export class PoolStorage extends Storage {
  readonly #queue: GpuQueue;
  readonly #storage: CacheStorage;
  readonly #scales: Float32Array;

  constructor(queue: GpuQueue, shape: Shape, storage: CacheStorage) {
    super(queue, shape);
    this.#queue = queue;
    this.#storage = storage;
    this.#scales = new Float32Array(storage === "i8" ? shape[0] : 0);
  }

  /** Writes the rows of a matrix, rounded. */
  write(rows: Matrix, slots: Int32Array): void {
    this.replace(async (old) => {
      if (this.#storage === "f32") return this.#replaced(old, handleOf(rows), slots);
      const values = await toHost(handleOf(rows), rows.shape);
      return this.#uploaded(old, slots, values, (row) => {
        const given = rowOf(values, row, rows.shape);
        const scale = deviceKit.rowScale(given);
        given.set(deviceKit.roundRow(given.slice(), this.#storage));
        return scale;
      });
    });
  }

  /** Copies rows within the plane. */
  copy(from: Int32Array, to: Int32Array): void {
    this.replace(async (old) => {
      const source = Float32Array.from({ length: this.shape[0] }, (_, slot) => slot);
      from.forEach((slot, i) => {
        source[to[i]!] = slot;
        if (this.#storage === "i8") this.#scales[to[i]!] = this.#scales[slot]!;
      });
      return this.#queue.run("pick", this.shape, [old, source]);
    });
  }

  /** Rows as they are stored; only from within queued work. */
  async readStored(slots: Int32Array): Promise<Uint8Array> {
    const shape = [slots.length, this.shape[1]] as const;
    const args = [await this.handle(), Float32Array.from(slots)];
    const picked = await this.#queue.run("pick", shape, args);
    const values = await toHost(picked, shape);
    discard(picked);
    const rows = Array.from(slots, (slot, row) =>
      deviceKit.encodeStoredRow(rowOf(values, row, shape), this.#storage, this.#scales[slot] ?? 0),
    );
    const bytes = new Uint8Array(rows.length * rows[0]!.length);
    rows.forEach((row, i) => bytes.set(row, i * row.length));
    return bytes;
  }

  /** Writes rows that `readStored` gave. */
  writeStored(slots: Int32Array, bytes: Uint8Array): void {
    if (slots.length === 0) return;
    const shape = [slots.length, this.shape[1]] as const;
    const rowBytes = bytes.length / slots.length;
    const stored = (row: number) => bytes.subarray(row * rowBytes, (row + 1) * rowBytes);
    this.replace((old) => {
      const values = new Float32Array(shape[0] * shape[1]);
      return this.#uploaded(old, slots, values, (row) => {
        const given = stored(row);
        rowOf(values, row, shape).set(deviceKit.decodeStoredRow(given, this.#storage));
        return this.#storage === "i8"
          ? new DataView(given.buffer, given.byteOffset).getFloat32(0, true)
          : 0;
      });
    });
  }

  /** Uploads rows that `prepare` finishes; it gives the scale that a row has if it is one of signed bytes. */
  async #uploaded(
    old: Handle,
    slots: Int32Array,
    values: Float32Array,
    prepare: (row: number) => number,
  ): Promise<Handle> {
    slots.forEach((slot, row) => {
      const scale = prepare(row);
      if (this.#storage === "i8") this.#scales[slot] = scale;
    });
    const rows = await this.#queue.upload(values, [slots.length, this.shape[1]]);
    const plane = await this.#replaced(old, rows, slots);
    discard(rows);
    return plane;
  }

  #replaced(old: Handle, rows: Handle, slots: Int32Array): Promise<Handle> {
    const source = new Float32Array(this.shape[0]).fill(-1);
    slots.forEach((slot, t) => (source[slot] = t));
    return this.#queue.run("replaceRows", this.shape, [old, rows, source]);
  }
}

function rowOf(values: Float32Array, row: number, [, width]: Shape): Float32Array {
  return values.subarray(row * width, (row + 1) * width);
}
