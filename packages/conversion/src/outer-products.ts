import type { Device } from "@transmla/kernels";
import { matrix, type Matrix } from "@transmla/low-rank";

/** Tokens of one product: bounds its rounding, and the memory it takes on the device. */
const CHUNK_TOKENS = 1024;
/** Numbers of one product on the device, some rows at a time. */
const PRODUCT_NUMBERS = 1 << 20;

/**
 * Sums of outer products over a stream of tokens, `sum_t a_t b_t^T` with `a_t` the first `rows` numbers of `b_t`: float32 on
 * a device within a chunk of tokens, float64 over the chunks. The relative error is that of a float32 sum over a chunk, some 1e-6 of
 * `sum_t |a_t| |b_t|`.
 */
export class OuterProducts {
  /** `sum_t a_t a_t^T`, `[rows, rows]`. Symmetric but for rounding. */
  readonly square: Matrix;
  /** The other columns, `[rows, columns - rows]`, where there are any. */
  readonly rest: Matrix | undefined;

  constructor(
    private readonly device: Device,
    private readonly rows: number,
    private readonly columns: number,
  ) {
    this.square = matrix(rows, rows);
    this.rest = columns > rows ? matrix(rows, columns - rows) : undefined;
  }

  /** @param b `[tokens, columns]` */
  async add(b: Float32Array): Promise<void> {
    const { columns } = this;
    const step = CHUNK_TOKENS * columns;
    for (let start = 0; start < b.length; start += step) {
      await this.addChunk(turned(b.subarray(start, start + step), columns));
    }
  }

  /** @param b `[columns, tokens]` */
  private async addChunk(b: Float32Array): Promise<void> {
    const { device, rows, columns } = this;
    const tokens = b.length / columns;
    const weight = device.weight([columns, tokens], "f32");
    try {
      device.writeRows(weight, 0, new Uint8Array(b.buffer));
      const step = Math.max(1, Math.floor(PRODUCT_NUMBERS / columns));
      for (let first = 0; first < rows; first += step) {
        const count = Math.min(step, rows - first);
        const a = b.subarray(first * tokens, (first + count) * tokens);
        const product = device.scope(() =>
          device.linear(device.tensor(a, [count, tokens]), weight),
        );
        this.addRows(first, await device.read(product));
        device.release(product);
      }
    } finally {
      device.release(weight);
    }
  }

  /** @param values the sums' rows from `first` on, `[count, columns]` */
  private addRows(first: number, values: Float32Array): void {
    for (let start = 0, row = first; start < values.length; start += this.columns, row++) {
      addRow(this.square, row, values, start);
      if (this.rest) addRow(this.rest, row, values, start + this.rows);
    }
  }
}

function addRow({ data, columns }: Matrix, row: number, values: Float32Array, from: number): void {
  const start = row * columns;
  for (let j = 0; j < columns; j++) data[start + j] += values[from + j];
}

/** Turns a sum that would be symmetric without rounding into `sum / weight`, symmetric, in place. */
export function symmetricMean(sum: Matrix, weight: number): Matrix {
  const { data, rows: n } = sum;
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      const value = (data[i * n + j] + data[j * n + i]) / (2 * weight);
      data[i * n + j] = value;
      data[j * n + i] = value;
    }
  }
  return sum;
}

/** Columns and rows read or written at once by `turned`: what they touch stays in the first cache. */
const BLOCK = 16;

/** `rows [count, width]` transposed: `[width, count]`, in `out` if given. */
export function turned(
  rows: Float32Array,
  width: number,
  out: Float32Array = new Float32Array(rows.length),
): Float32Array {
  const count = rows.length / width;
  for (let column = 0; column < width; column += BLOCK) {
    const end = Math.min(width, column + BLOCK);
    for (let row = 0; row < count; row++) {
      for (let j = column; j < end; j++) out[j * count + row] = rows[row * width + j];
    }
  }
  return out;
}
