import { mirrorUpper } from "./blocks";
import { LowRankError } from "./errors";
import { addProduct, transposed, view } from "./matmul";
import { matrix } from "./matrix";
import type { Matrix } from "./matrix";

/**
 * batchᵀ batch of a row-major `[rows, columns]` batch, as `[columns, columns]`. A place for a faster
 * product than this package has (SIMD, threads); only the upper triangle is read.
 */
export type Gram = (
  batch: Float32Array,
  rows: number,
  columns: number,
) => Float32Array | Float64Array;

export interface MomentsOptions {
  readonly gram?: Gram;
}

/** Samples are taken in at most this many rows at a time, which bounds the scratch memory. */
const CHUNK_ROWS = 256;
/** Squares of larger numbers, summed, come near the end of float64. */
const MAX_MAGNITUDE = 1e150;

/**
 * Streaming mean and covariance of vectors of one dimension.
 *
 * Each chunk is centred on its own mean before it is multiplied, and chunks are joined by
 * S = S_a + S_b + (n_a n_b / n) (mu_b - mu_a)(mu_b - mu_a)ᵀ (Chan, Golub, LeVeque 1983), so a mean
 * that is large against the spread costs no digits. Memory is O(dimension²), whatever is added.
 */
export class Moments {
  readonly dimension: number;
  private samples = 0;
  private readonly means: Float64Array;
  /** Sum of (x - mu)(x - mu)ᵀ; only the upper triangle is kept up to date. */
  private readonly scatter: Float64Array;
  private readonly gram: Gram | undefined;
  private chunk: Float64Array | undefined;

  /** @throws LowRankError InvalidArgument */
  constructor(dimension: number, { gram }: MomentsOptions = {}) {
    this.scatter = matrix(dimension, dimension).data;
    this.dimension = dimension;
    this.means = new Float64Array(dimension);
    this.gram = gram;
  }

  /** Samples added so far. */
  get count(): number {
    return this.samples;
  }

  /**
   * Adds a batch `[rows, dimension]`, row-major; `rows` defaults to all of it. Nothing is added when
   * the batch is refused.
   *
   * @throws LowRankError ShapeMismatch, NonFinite (names row and column)
   */
  add(batch: Float32Array | Float64Array, rows = batch.length / this.dimension): void {
    const n = this.dimension;
    if (!Number.isInteger(rows) || rows < 0 || rows * n > batch.length) {
      throw new LowRankError(
        "ShapeMismatch",
        `a batch of ${batch.length} numbers is not [${rows}, ${n}]`,
        { length: batch.length, rows, dimension: n },
      );
    }
    requireUsable(batch, rows, n);
    for (let start = 0; start < rows; start += CHUNK_ROWS) {
      this.addChunk(batch, start, Math.min(CHUNK_ROWS, rows - start));
    }
  }

  private addChunk(batch: Float32Array | Float64Array, start: number, rows: number): void {
    const n = this.dimension;
    const centred = (this.chunk ??= new Float64Array(CHUNK_ROWS * n));
    const mean = centreRows(batch, start, rows, n, centred);
    const scatter = this.scatter;
    if (this.gram) {
      const product = this.gram(Float32Array.from(centred.subarray(0, rows * n)), rows, n);
      requireGram(product, n);
      for (let i = 0; i < n; i += 1) {
        for (let j = i; j < n; j += 1) scatter[i * n + j] += product[i * n + j];
      }
    } else {
      const samples = view(centred, n);
      addProduct(view(scatter, n), transposed(samples), samples, n, n, rows, { upper: true });
    }
    this.join(rows, mean);
  }

  /** Moves the mean to that of both parts and adds the scatter between their means. */
  private join(rows: number, mean: Float64Array): void {
    const n = this.dimension;
    const total = this.samples + rows;
    const between = mean.map((value, i) => value - this.means[i]);
    const weight = (this.samples * rows) / total;
    for (let i = 0; i < n; i += 1) {
      const factor = weight * between[i];
      for (let j = i; j < n; j += 1) this.scatter[i * n + j] += factor * between[j];
    }
    for (let i = 0; i < n; i += 1) this.means[i] += (rows / total) * between[i];
    this.samples = total;
  }

  /**
   * Adds the samples of another accumulator of the same dimension, which stays as it is.
   *
   * @throws LowRankError ShapeMismatch
   */
  merge(other: Moments): void {
    if (other.dimension !== this.dimension) {
      throw new LowRankError(
        "ShapeMismatch",
        `merge: dimensions ${this.dimension} and ${other.dimension} differ`,
        { dimension: this.dimension, other: other.dimension },
      );
    }
    if (other.samples === 0) return;
    // Copies first: `other` may be this very accumulator.
    const { samples } = other;
    const mean = other.means.slice();
    for (let i = 0; i < this.scatter.length; i += 1) this.scatter[i] += other.scatter[i];
    this.join(samples, mean);
  }

  /** mu = E[x], `[dimension]`. @throws LowRankError NoSamples */
  mean(): Float64Array {
    this.requireSamples();
    return this.means.slice();
  }

  /** E[(x - mu)(x - mu)ᵀ], divided by the count (not count - 1). @throws LowRankError NoSamples */
  covariance(): Matrix {
    this.requireSamples();
    const n = this.dimension;
    const out = this.scatter.map((value) => value / this.samples);
    mirrorUpper(out, n);
    return matrix(n, n, out);
  }

  /** E[x xᵀ], not centred. @throws LowRankError NoSamples */
  secondMoment(): Matrix {
    const out = this.covariance();
    const n = this.dimension;
    for (let i = 0; i < n; i += 1) {
      for (let j = 0; j < n; j += 1) out.data[i * n + j] += this.means[i] * this.means[j];
    }
    return out;
  }

  /**
   * E[x~ x~ᵀ] with x~ = [x; 1], `[dimension + 1, dimension + 1]`: the second moment, bordered by the
   * mean and a 1. The moments of any affine map of x are quadratic forms of it.
   *
   * @throws LowRankError NoSamples
   */
  augmented(): Matrix {
    const n = this.dimension;
    const second = this.secondMoment().data;
    const out = matrix(n + 1, n + 1);
    for (let i = 0; i < n; i += 1) {
      out.data.set(second.subarray(i * n, (i + 1) * n), i * (n + 1));
      out.data[i * (n + 1) + n] = this.means[i];
      out.data[n * (n + 1) + i] = this.means[i];
    }
    out.data[n * (n + 1) + n] = 1;
    return out;
  }

  private requireSamples(): void {
    if (this.samples === 0) {
      throw new LowRankError("NoSamples", "no samples were added to these moments yet");
    }
  }
}

function requireUsable(batch: Float32Array | Float64Array, rows: number, n: number): void {
  for (let i = 0; i < rows * n; i += 1) {
    if (Math.abs(batch[i]) <= MAX_MAGNITUDE) continue;
    const row = Math.floor(i / n);
    const column = i % n;
    throw new LowRankError(
      "NonFinite",
      `the batch holds ${batch[i]} at row ${row}, column ${column}: moments need finite values up to ${MAX_MAGNITUDE}`,
      { row, column, value: batch[i] },
    );
  }
}

function requireGram(product: Float32Array | Float64Array, n: number): void {
  if (product.length !== n * n) {
    throw new LowRankError(
      "ShapeMismatch",
      `the injected gram product returned ${product.length} numbers instead of ${n} x ${n}`,
      { expected: n * n, actual: product.length },
    );
  }
}

/**
 * Writes the rows minus their mean to `out` and returns the mean. The sum starts from the first
 * row, and a second pass removes what rounding left, so the centred rows sum to nothing.
 */
function centreRows(
  batch: Float32Array | Float64Array,
  start: number,
  rows: number,
  n: number,
  out: Float64Array,
): Float64Array {
  const origin = Float64Array.from(batch.subarray(start * n, (start + 1) * n));
  const shift = new Float64Array(n);
  for (let r = 0; r < rows; r += 1) {
    const source = (start + r) * n;
    for (let i = 0; i < n; i += 1) {
      const value = batch[source + i] - origin[i];
      out[r * n + i] = value;
      shift[i] += value;
    }
  }
  for (let i = 0; i < n; i += 1) shift[i] /= rows;
  for (let r = 0; r < rows; r += 1) {
    for (let i = 0; i < n; i += 1) out[r * n + i] -= shift[i];
  }
  return shift.map((value, i) => value + origin[i]);
}
