import { implicitQl } from "./implicit-ql";
import { addProduct, view } from "./matmul";
import { secularRoots } from "./secular";
import { copyRun, rotate, scale } from "./vector";

/** Below this size the QL iteration is quicker than dividing. */
const LEAF = 32;

/**
 * Eigendecomposition of the symmetric tridiagonal matrix with the given diagonal `[n]` and
 * off-diagonal `[n - 1]`, by divide and conquer (Cuppen 1981; eigenvectors from recomputed weights
 * after Gu and Eisenstat 1995). Both arrays are overwritten. They come
 * in units of the largest element.
 *
 * @returns all eigenvalues in no order, and the eigenvectors as ROWS of an `[n, n]` array; only those of
 *   the `wanted` largest eigenvalues are complete
 * @throws LowRankError NoConvergence
 */
export function tridiagonalEigen(
  d: Float64Array,
  e: Float64Array,
  wanted = d.length,
): { values: Float64Array; rows: Float64Array } {
  const n = d.length;
  const rows = new Float64Array(n * n);
  for (let i = 0; i < n; i += 1) rows[i * n + i] = 1;
  divide(d, e, rows, n, 0, n, wanted);
  return { values: d, rows };
}

function divide(
  d: Float64Array,
  e: Float64Array,
  rows: Float64Array,
  n: number,
  low: number,
  high: number,
  wanted: number,
): void {
  if (high - low <= LEAF) {
    implicitQl(d, e, rows, n, low, high);
    return;
  }
  // T = diag(T1, T2) + |e| v vᵀ with v = (0 … 0, 1, sign e, 0 … 0)
  const middle = (low + high) >> 1;
  const link = e[middle - 1];
  d[middle - 1] -= Math.abs(link);
  d[middle] -= Math.abs(link);
  divide(d, e, rows, n, low, middle, middle - low);
  divide(d, e, rows, n, middle, high, high - middle);
  join(d, rows, n, low, middle, high, link, wanted);
}

/** Which columns of a row of eigenvectors are not zero: those of the first half, the second, both. */
const enum Part {
  First,
  Both,
  Second,
}

/**
 * Joins the decompositions of rows low … middle-1 and middle … high-1, up to the eigenvectors of the
 * `wanted` largest eigenvalues.
 */
function join(
  d: Float64Array,
  rows: Float64Array,
  n: number,
  low: number,
  middle: number,
  high: number,
  link: number,
  wanted: number,
): void {
  // D + rho z zᵀ in the basis of both halves; the last row of Q1 and the first of Q2 have norm 1.
  const rho = 2 * Math.abs(link);
  const z = new Float64Array(high);
  const sign = link < 0 ? -1 : 1;
  for (let i = low; i < middle; i += 1) z[i] = rows[i * n + middle - 1] * Math.SQRT1_2;
  for (let i = middle; i < high; i += 1) z[i] = sign * rows[i * n + middle] * Math.SQRT1_2;

  const { kept, dropped } = deflate(d, z, rows, n, low, middle, high, rho);
  const poles = Float64Array.from(kept, ({ index }) => d[index]);
  const { values, differences } = secularRoots(
    poles,
    Float64Array.from(kept, ({ index }) => z[index]),
    rho,
  );
  const settled = dropped.map((index) => d[index]);
  const first = firstWanted(values, settled, wanted);
  // Sorted by the columns they fill, see updateVectors.
  const order = Int32Array.from(kept.keys()).toSorted(
    (i, j) => kept[i].part - kept[j].part || i - j,
  );
  const vectors = eigenvectorsOf(poles, differences, kept, z, order, first);
  updateVectors(rows, n, low, middle, high, kept, dropped, order, vectors, first);
  d.set(values, low);
  d.set(settled, low + values.length);
}

/** The first of the ascending roots that is among the `wanted` largest of roots and settled values. */
function firstWanted(roots: Float64Array, settled: readonly number[], wanted: number): number {
  const all = Float64Array.from([...settled, ...roots]).toSorted();
  const threshold = all[all.length - wanted];
  const first = roots.findIndex((value) => value >= threshold);
  return first < 0 ? roots.length : first;
}

interface Kept {
  readonly index: number;
  readonly part: Part;
}

/**
 * Sets aside the eigenpairs the rank-one term does not move: those with a negligible z, and, of two
 * equal eigenvalues, one after a rotation that makes its z zero. Thresholds as in LAPACK's dlaed2.
 */
function deflate(
  d: Float64Array,
  z: Float64Array,
  rows: Float64Array,
  n: number,
  low: number,
  middle: number,
  high: number,
  rho: number,
): { kept: Kept[]; dropped: number[] } {
  const order = Array.from({ length: high - low }, (_, i) => low + i);
  order.sort((i, j) => d[i] - d[j] || i - j);
  let largest = 0;
  for (let i = low; i < high; i += 1) largest = Math.max(largest, Math.abs(d[i]), Math.abs(z[i]));
  const tolerance = 8 * (Number.EPSILON / 2) * largest;
  const kept: Kept[] = [];
  const dropped: number[] = [];
  const partOf = (index: number) => (index < middle ? Part.First : Part.Second);
  let pending: Kept | undefined;
  for (const index of order) {
    if (rho * Math.abs(z[index]) <= tolerance) {
      dropped.push(index);
      continue;
    }
    let part = partOf(index);
    if (pending) {
      const before = pending.index;
      const norm = Math.hypot(z[index], z[before]);
      const c = z[index] / norm;
      const s = -z[before] / norm;
      if (Math.abs((d[index] - d[before]) * c * s) <= tolerance) {
        z[index] = norm;
        z[before] = 0;
        const [x, y] = [d[before], d[index]];
        d[before] = x * c * c + y * s * s;
        d[index] = x * s * s + y * c * c;
        if (pending.part !== part) part = Part.Both;
        rotate(rows, before * n + low, index * n + low, high - low, c, s);
        dropped.push(before);
      } else {
        kept.push(pending);
      }
    }
    pending = { index, part };
  }
  if (pending) kept.push(pending);
  return { kept, dropped };
}

/**
 * Eigenvectors of diag(poles) + rho z zᵀ as rows `[k - first, k]`, from that of root `first` on, with their
 * components in the given order. The weights z are recomputed so that the
 * computed roots are exact for them (Löwner's formula); the vectors are then orthogonal to rounding.
 */
function eigenvectorsOf(
  poles: Float64Array,
  differences: Float64Array,
  kept: readonly Kept[],
  z: Float64Array,
  order: Int32Array,
  first: number,
): Float64Array {
  const k = poles.length;
  const weights = new Float64Array(k);
  for (let j = 0; j < k; j += 1) weights[j] = differences[j * k + j];
  for (let i = 0; i < k; i += 1) {
    const row = i * k;
    const pole = poles[i];
    for (let j = 0; j < i; j += 1) weights[j] *= differences[row + j] / (poles[j] - pole);
    for (let j = i + 1; j < k; j += 1) weights[j] *= differences[row + j] / (poles[j] - pole);
  }
  for (let j = 0; j < k; j += 1) {
    weights[j] = Math.sqrt(Math.max(0, -weights[j])) * (z[kept[j].index] < 0 ? -1 : 1);
  }
  const out = new Float64Array((k - first) * k);
  for (let i = first; i < k; i += 1) {
    const row = (i - first) * k;
    let sum = 0;
    for (let t = 0; t < k; t += 1) {
      const component = weights[order[t]] / differences[i * k + order[t]];
      out[row + t] = component;
      sum += component * component;
    }
    scale(out, row, k, 1 / Math.sqrt(sum));
  }
  return out;
}

/**
 * Rows low … high-1 become the new eigenvectors, from that of root `first` on, then the set-aside ones.
 * The kept rows are sorted by the columns they fill, so that each half of the columns is one product
 * without its zeros.
 */
function updateVectors(
  rows: Float64Array,
  n: number,
  low: number,
  middle: number,
  high: number,
  kept: readonly Kept[],
  dropped: readonly number[],
  order: Int32Array,
  vectors: Float64Array,
  first: number,
): void {
  const k = kept.length;
  const size = high - low;
  const old = new Float64Array(size * size);
  order.forEach((source, i) => copyRun(rows, kept[source].index * n + low, old, i * size, size));
  dropped.forEach((index, i) => copyRun(rows, index * n + low, old, (k + i) * size, size));
  const top = (low + first) * n;
  for (let i = first; i < k; i += 1) rows.fill(0, (low + i) * n + low, (low + i) * n + high);
  for (let i = k; i < size; i += 1) copyRun(old, i * size, rows, (low + i) * n + low, size);

  const half = middle - low;
  const count = k - first;
  const inFirst = kept.filter(({ part }) => part !== Part.Second).length;
  const second = order.findIndex((i) => kept[i].part !== Part.First);
  addProduct(view(rows, n, top + low), view(vectors, k), view(old, size), count, half, inFirst);
  if (second < 0) return;
  const [left, right] = [view(vectors, k, second), view(old, size, second * size + half)];
  addProduct(view(rows, n, top + middle), left, right, count, size - half, k - second);
}
