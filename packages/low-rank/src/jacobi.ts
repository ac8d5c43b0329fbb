import { LowRankError } from "./errors";
import { addProduct, transposed, view } from "./matmul";
import { jacobiAngle } from "./rotations";
import { axpy, dot, NEGLIGIBLE_SQUARE, rotate } from "./vector";

const MAX_SWEEPS = 60;

/**
 * One-sided Jacobi (Hestenes 1958): rotates the rows of x `[count, length]` against each other until
 * every pair is orthogonal to rounding, and the rows of v `[count, count]` with them.
 *
 * x is in units of its largest element: rows below 1e-145 become zero, all others come out as
 * accurately as the largest. Each sweep begins with all cosines in one matrix
 * product and then visits the pairs that are not orthogonal yet.
 *
 * @throws LowRankError NoConvergence
 */
export function orthogonaliseRows(
  x: Float64Array,
  count: number,
  length: number,
  v: Float64Array,
): void {
  const tolerance = Number.EPSILON * Math.max(8, Math.sqrt(length));
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep += 1) {
    const cosines = cosinesOf(x, count, length);
    let rotations = 0;
    for (let i = 0; i < count; i += 1) {
      for (let j = i + 1; j < count; j += 1) {
        if (Math.abs(cosines[i * count + j]) <= tolerance) continue;
        if (rotatePair(x, i, j, length, v, count, tolerance)) rotations += 1;
      }
    }
    if (rotations === 0) return;
  }
  throw new LowRankError("NoConvergence", `no orthogonal columns after ${MAX_SWEEPS} sweeps`);
}

/** Cosines of all pairs i < j of rows; negligible rows become zero, orthogonal to all. */
function cosinesOf(x: Float64Array, count: number, length: number): Float64Array {
  const unit = new Float64Array(count * length);
  for (let i = 0; i < count; i += 1) {
    const run = i * length;
    const square = dot(x, run, x, run, length);
    if (square <= NEGLIGIBLE_SQUARE) x.fill(0, run, run + length);
    else axpy(1 / Math.sqrt(square), x, run, unit, run, length);
  }
  const out = new Float64Array(count * count);
  const rows = view(unit, length);
  addProduct(view(out, count), rows, transposed(rows), count, count, length, { upper: true });
  return out;
}

function rotatePair(
  x: Float64Array,
  i: number,
  j: number,
  length: number,
  v: Float64Array,
  count: number,
  tolerance: number,
): boolean {
  const [left, right] = [i * length, j * length];
  const a = dot(x, left, x, left, length);
  const b = dot(x, right, x, right, length);
  const c = dot(x, left, x, right, length);
  if (Math.min(a, b) <= NEGLIGIBLE_SQUARE) return false;
  if (Math.abs(c) <= tolerance * Math.sqrt(a) * Math.sqrt(b)) return false;
  const { cosine, sine } = jacobiAngle(a, b, c);
  rotate(x, left, right, length, cosine, -sine);
  rotate(v, i * count, j * count, count, cosine, -sine);
  return true;
}
