import { LowRankError } from "./errors";
import { rotate } from "./vector";

/** An off-diagonal this far below the unit of the matrix moves no eigenvalue, whatever its own size. */
const NEGLIGIBLE = 1e-24;
/** QL needs about 1.7 sweeps per eigenvalue. */
const MAX_SWEEPS = 60;

/**
 * QL with implicit shifts on rows low … high-1 (Wilkinson and Reinsch 1971, `tql2`).
 *
 * @throws LowRankError NoConvergence
 */
export function implicitQl(
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
