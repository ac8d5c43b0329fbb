import { forBlocks } from "./blocks";
import { LowRankError } from "./errors";
import type { Matrix } from "./matrix";
import { maxAbs } from "./vector";

/** Relative difference between (i, j) and (j, i) up to which a matrix counts as symmetric. */
export const SYMMETRY_TOLERANCE = 1e-6;

/** "3 x 4", for messages. */
export function shapeOf(m: { readonly rows: number; readonly columns: number }): string {
  return `${m.rows} x ${m.columns}`;
}

export function requireSquare(
  m: { readonly rows: number; readonly columns: number },
  name: string,
): void {
  if (m.rows !== m.columns) {
    throw new LowRankError("ShapeMismatch", `${name} takes a square matrix, got ${shapeOf(m)}`, {
      rows: m.rows,
      columns: m.columns,
    });
  }
}

export function requireFinite(m: Matrix, name: string): void {
  const { data, columns } = m;
  for (let i = 0; i < data.length; i += 1) {
    if (!Number.isFinite(data[i])) {
      const [row, column] = [Math.floor(i / columns), i % columns];
      throw new LowRankError("NonFinite", `${name}: element (${row}, ${column}) is ${data[i]}`, {
        row,
        column,
        value: data[i],
      });
    }
  }
}

/** Square, finite and equal to its transpose up to SYMMETRY_TOLERANCE of its largest element. */
export function requireSymmetric(m: Matrix, name: string): void {
  requireSquare(m, name);
  requireFinite(m, name);
  const { rows: n, data } = m;
  const allowed = maxAbs(data) * SYMMETRY_TOLERANCE;
  forBlocks(n, n, (i0, i1, j0, j1) => {
    if (j0 > i0) return;
    for (let i = i0; i < i1; i += 1) {
      for (let j = j0; j < j1; j += 1) {
        if (Math.abs(data[i * n + j] - data[j * n + i]) > allowed)
          throw asymmetry(data, n, i, j, name);
      }
    }
  });
}

function asymmetry(data: Float64Array, n: number, i: number, j: number, name: string) {
  const [row, column] = [Math.max(i, j), Math.min(i, j)];
  return new LowRankError(
    "NotSymmetric",
    `${name} takes a symmetric matrix: (${row}, ${column}) is ${data[row * n + column]}, (${column}, ${row}) is ${data[column * n + row]}`,
    { row, column },
  );
}

export function requireRank(rank: number, most: number, name: string): void {
  if (!Number.isInteger(rank) || rank < 1 || rank > most) {
    throw new LowRankError(
      "RankOutOfRange",
      `${name}: rank ${rank} is not an integer from 1 to ${most}`,
      { rank, largest: most },
    );
  }
}

export function requireLength(values: ArrayLike<number>, expected: number, name: string): void {
  if (values.length !== expected) {
    throw new LowRankError(
      "ShapeMismatch",
      `${name}: expected ${expected} factors, got ${values.length}`,
      { expected, actual: values.length },
    );
  }
}

export function requireRange(start: number, end: number, size: number, name: string): void {
  const integers = Number.isInteger(start) && Number.isInteger(end);
  if (!integers || start < 0 || end > size || start >= end) {
    throw new LowRankError(
      "ShapeMismatch",
      `${name}: [${start}, ${end}) is not a non-empty part of [0, ${size})`,
      { start, end, size },
    );
  }
}
