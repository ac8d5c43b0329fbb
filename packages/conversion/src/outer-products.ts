import type { Device } from "@transmla/kernels";
import { matrix, type Matrix } from "@transmla/low-rank";

/** Tokens of one product: bounds its rounding, and the memory it takes on the device. */
const CHUNK_TOKENS = 1024;

/**
 * Sums of outer products over a stream of tokens, `sum_t a_t b_t^T` with `a_t` the first `rows` numbers of `b_t`, `[rows, columns]`: float32 on
 * a device within a chunk of tokens, float64 over the chunks. The relative error is that of a float32 sum over a chunk, some 1e-6 of
 * `sum_t |a_t| |b_t|`.
 */
export class OuterProducts {
  readonly sum: Matrix;

  constructor(
    private readonly device: Device,
    rows: number,
    columns: number,
  ) {
    this.sum = matrix(rows, columns);
  }

  /** @param b `[tokens, columns]` */
  async add(b: Float32Array): Promise<void> {
    const { columns } = this.sum;
    const step = CHUNK_TOKENS * columns;
    for (let start = 0; start < b.length; start += step) {
      await this.addChunk(turned(b.subarray(start, start + step), columns));
    }
  }

  /** @param b `[columns, tokens]` */
  private async addChunk(b: Float32Array): Promise<void> {
    const { device, sum } = this;
    const { data, rows, columns } = sum;
    const tokens = b.length / columns;
    const weight = device.weight([columns, tokens], "f32");
    try {
      device.writeRows(weight, 0, new Uint8Array(b.buffer));
      const a = b.subarray(0, rows * tokens);
      const product = device.scope(() => device.linear(device.tensor(a, [rows, tokens]), weight));
      const values = await device.read(product);
      device.release(product);
      for (let at = 0; at < values.length; at++) data[at] += values[at];
    } finally {
      device.release(weight);
    }
  }
}

/** `sum / weight` of the first columns, as many as rows, of a sum. They would be symmetric without rounding. */
export function symmetricMean({ data, rows: n, columns }: Matrix, weight: number): Matrix {
  const mean = matrix(n, n);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      const value = (data[i * columns + j] + data[j * columns + i]) / (2 * weight);
      mean.data[i * n + j] = value;
      mean.data[j * n + i] = value;
    }
  }
  return mean;
}

/** Columns and rows read or written at once by `turned`: what they touch stays in the first cache. */
const BLOCK = 16;

/** `rows [count, width]` transposed: `[width, count]`. */
export function turned(rows: Float32Array, width: number): Float32Array {
  const count = rows.length / width;
  const out = new Float32Array(rows.length);
  for (let column = 0; column < width; column += BLOCK) {
    const end = Math.min(width, column + BLOCK);
    for (let row = 0; row < count; row++) {
      for (let j = column; j < end; j++) out[j * count + row] = rows[row * width + j];
    }
  }
  return out;
}
