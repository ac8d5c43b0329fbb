import { LowRankError } from "./errors";
import { addProduct, view } from "./matmul";
import { secularRoots } from "./secular";
import { rotate } from "./vector";

/** Below this size the QL iteration is quicker than dividing. */
const LEAF = 32;
/** An off-diagonal this far below the unit of the matrix moves no eigenvalue, whatever its own size. */
const NEGLIGIBLE = 1e-24;
/** QL needs about 1.7 sweeps per eigenvalue. */
const MAX_SWEEPS = 60;

/**
 * Eigendecomposition of the symmetric tridiagonal matrix with the given diagonal `[n]` and
 * off-diagonal `[n - 1]`, by divide and conquer (Cuppen 1981; eigenvectors from recomputed weights
 * after Gu and Eisenstat 1995). Both arrays are overwritten. They come
 * in units of the largest element.
 *
 * @returns eigenvalues in no order, and the eigenvectors as ROWS of an `[n, n]` array
 * @throws LowRankError NoConvergence
 */
export function tridiagonalEigen(
  d: Float64Array,
  e: Float64Array,
): { values: Float64Array; rows: Float64Array } {
  const n = d.length;
  const rows = new Float64Array(n * n);
  for (let i = 0; i < n; i += 1) rows[i * n + i] = 1;
  divide(d, e, rows, n, 0, n);
  return { values: d, rows };
}

function divide(
  d: Float64Array,
  e: Float64Array,
  rows: Float64Array,
  n: number,
  low: number,
  high: number,
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
  divide(d, e, rows, n, low, middle);
  divide(d, e, rows, n, middle, high);
  join(d, rows, n, low, middle, high, link);
}

/** Which columns of a row of eigenvectors are not zero: those of the first half, the second, both. */
const enum Part {
  First,
  Both,
  Second,
}

/** Joins the decompositions of rows low … middle-1 and middle … high-1. */
function join(
  d: Float64Array,
  rows: Float64Array,
  n: number,
  low: number,
  middle: number,
  high: number,
  link: number,
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
  updateVectors(
    rows,
    n,
    low,
    middle,
    high,
    kept,
    dropped,
    eigenvectorsOf(poles, differences, kept, z),
  );
  const settled = dropped.map((index) => d[index]);
  d.set(values, low);
  d.set(settled, low + values.length);
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
 * Eigenvectors of diag(poles) + rho z zᵀ as rows `[k, k]`. The weights z are recomputed so that the
 * computed roots are exact for them (Löwner's formula); the vectors are then orthogonal to rounding.
 */
function eigenvectorsOf(
  poles: Float64Array,
  differences: Float64Array,
  kept: readonly Kept[],
  z: Float64Array,
): Float64Array {
  const k = poles.length;
  const weights = new Float64Array(k);
  for (let j = 0; j < k; j += 1) weights[j] = differences[j * k + j];
  for (let i = 0; i < k; i += 1) {
    for (let j = 0; j < k; j += 1) {
      if (i !== j) weights[j] *= differences[i * k + j] / (poles[j] - poles[i]);
    }
  }
  for (let j = 0; j < k; j += 1) {
    weights[j] = Math.sqrt(Math.max(0, -weights[j])) * (z[kept[j].index] < 0 ? -1 : 1);
  }
  const out = new Float64Array(k * k);
  for (let i = 0; i < k; i += 1) {
    let sum = 0;
    for (let j = i * k; j < (i + 1) * k; j += 1) {
      out[j] = weights[j - i * k] / differences[j];
      sum += out[j] * out[j];
    }
    const inverse = 1 / Math.sqrt(sum);
    for (let j = i * k; j < (i + 1) * k; j += 1) out[j] *= inverse;
  }
  return out;
}

/**
 * Rows low … high-1 become the new eigenvectors, then the set-aside ones. The kept rows are sorted by
 * the columns they fill, so that each half of the columns is one product without its zeros.
 */
function updateVectors(
  rows: Float64Array,
  n: number,
  low: number,
  middle: number,
  high: number,
  kept: readonly Kept[],
  dropped: readonly number[],
  vectors: Float64Array,
): void {
  const k = kept.length;
  const size = high - low;
  const order = kept.map((_, i) => i).toSorted((i, j) => kept[i].part - kept[j].part || i - j);
  const old = new Float64Array(size * size);
  const rowOf = (index: number) => rows.subarray(index * n + low, index * n + high);
  order.forEach((source, i) => old.set(rowOf(kept[source].index), i * size));
  dropped.forEach((index, i) => old.set(rowOf(index), (k + i) * size));
  const sorted = new Float64Array(k * k);
  for (let i = 0; i < k; i += 1) {
    for (let j = 0; j < k; j += 1) sorted[i * k + j] = vectors[i * k + order[j]];
  }
  for (let i = 0; i < size; i += 1) {
    const row = rowOf(low + i);
    if (i < k) row.fill(0);
    else row.set(old.subarray(i * size, (i + 1) * size));
  }
  const first = kept.filter(({ part }) => part !== Part.Second).length;
  const second = kept.findIndex((_, i) => kept[order[i]].part !== Part.First);
  const half = middle - low;
  addProduct(view(rows, n, low * n + low), view(sorted, k), view(old, size), k, half, first);
  if (second < 0) return;
  addProduct(
    view(rows, n, low * n + middle),
    view(sorted, k, second),
    view(old, size, second * size + half),
    k,
    size - half,
    k - second,
  );
}

/** QL with implicit shifts on rows low … high-1 (Wilkinson and Reinsch 1971, `tql2`). */
function implicitQl(
  d: Float64Array,
  e: Float64Array,
  rows: Float64Array,
  n: number,
  low: number,
  high: number,
): void {
  const size = high - low;
  for (let l = low; l < high; l += 1) {
    for (let sweep = 0; ; sweep += 1) {
      const m = firstSplit(d, e, l, high);
      if (m === l) break;
      if (sweep === MAX_SWEEPS) {
        throw new LowRankError("NoConvergence", "the QL iteration did not converge", { row: l });
      }
      let g = (d[l + 1] - d[l]) / (2 * e[l]);
      g = d[m] - d[l] + e[l] / (g + Math.sign(g || 1) * Math.hypot(g, 1));
      let s = 1;
      let c = 1;
      let p = 0;
      let i = m - 1;
      for (; i >= l; i -= 1) {
        const f = s * e[i];
        const b = c * e[i];
        const r = Math.hypot(f, g);
        // e[m] links to rows that are already separate.
        if (i + 1 < m) e[i + 1] = r;
        if (r === 0) {
          d[i + 1] -= p;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        rotate(rows, i * n + low, (i + 1) * n + low, size, c, -s);
      }
      if (i >= l) continue;
      d[l] -= p;
      e[l] = g;
    }
  }
}

/** The first index from l on whose off-diagonal is negligible, or the last row. */
function firstSplit(d: Float64Array, e: Float64Array, l: number, high: number): number {
  for (let m = l; m < high - 1; m += 1) {
    const scale = Math.abs(d[m]) + Math.abs(d[m + 1]);
    if (Math.abs(e[m]) <= Math.max(Number.EPSILON * scale, NEGLIGIBLE)) return m;
  }
  return high - 1;
}
