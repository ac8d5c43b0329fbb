import { addProduct, transposed, view } from "./matmul";
import { dot, NEGLIGIBLE_SQUARE } from "./vector";

/**
 * Householder reflectors H = I - tau u uᵀ, kept as rows of `vectors`: row k of `[count, length]`
 * starts at component `offset + k`, zero before it.
 */
export interface Reflectors {
  readonly count: number;
  readonly length: number;
  readonly vectors: Float64Array;
  readonly tau: Float64Array;
}

/**
 * Turns the run x of n numbers into the reflector that sends x to (alpha, 0, …): x becomes u, and
 * tau and alpha are returned. alpha has the sign opposite to x[0], so nothing cancels. x
 * comes from data in units of its largest element.
 */
export function makeReflector(
  data: Float64Array,
  start: number,
  n: number,
): { tau: number; alpha: number } {
  const first = data[start];
  const tail = dot(data, start + 1, data, start + 1, n - 1);
  if (tail <= NEGLIGIBLE_SQUARE) {
    data.fill(0, start, start + n);
    return { tau: 0, alpha: first };
  }
  const norm = Math.sqrt(first * first + tail);
  const alpha = first > 0 ? -norm : norm;
  data[start] = first - alpha;
  return { tau: 2 / ((first - alpha) ** 2 + tail), alpha };
}

/** Reflectors multiplied together at a time: the work is then matrix products. */
const BLOCK = 96;

/**
 * Replaces each row x of the `[rows, length]` array by H_0 H_1 … H_last x.
 *
 * A block of reflectors is I - Yᵀ T Y with T upper triangular (Schreiber and Van Loan 1989), so
 * rows X become X - ((X Yᵀ) Tᵀ) Y.
 */
export function applyReflectors(target: Float64Array, rows: number, reflectors: Reflectors): void {
  const { count, length, vectors, tau } = reflectors;
  const start = Math.floor((count - 1) / BLOCK) * BLOCK;
  for (let k = start; k >= 0; k -= BLOCK) {
    const size = Math.min(BLOCK, count - k);
    // Components before k are zero in every reflector of the block.
    const width = length - k;
    const y = view(vectors, length, k * length + k);
    const x = view(target, length, k);
    const t = blockFactor(vectors, length, tau, k, size);
    const projected = new Float64Array(rows * size);
    addProduct(view(projected, size), x, transposed(y), rows, size, width);
    const combined = new Float64Array(rows * size);
    addProduct(view(combined, size), view(projected, size), transposed(t), rows, size, size);
    addProduct(x, view(combined, size), y, rows, width, size, { sign: -1 });
  }
}

/** T of H_k … H_{k+size-1} = I - Yᵀ T Y: T[:j, j] = -tau_j T[:j, :j] (Y[:j] u_j). */
function blockFactor(
  vectors: Float64Array,
  length: number,
  tau: Float64Array,
  k: number,
  size: number,
) {
  const y = view(vectors, length, k * length + k);
  const overlaps = new Float64Array(size * size);
  addProduct(view(overlaps, size), y, transposed(y), size, size, length - k, { upper: true });
  const t = new Float64Array(size * size);
  const column = new Float64Array(size);
  for (let j = 0; j < size; j += 1) {
    t[j * size + j] = tau[k + j];
    for (let i = 0; i < j; i += 1) column[i] = overlaps[i * size + j];
    for (let i = 0; i < j; i += 1) {
      t[i * size + j] = -tau[k + j] * dot(t, i * size + i, column, i, j - i);
    }
  }
  return view(t, size);
}
