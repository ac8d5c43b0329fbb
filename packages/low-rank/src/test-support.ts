import type { ComplexMatrix } from "./complex";
import { adjoint, complexMatrix, complexMultiply } from "./complex";
import { LowRankError } from "./errors";
import { add, identity, matrix, multiplyTransposedLeft } from "./matrix";
import type { Matrix } from "./matrix";

interface RealJson {
  readonly rows: number;
  readonly columns: number;
  readonly data: readonly number[];
}

interface ComplexJson {
  readonly rows: number;
  readonly columns: number;
  readonly re: readonly number[];
  readonly im: readonly number[];
}

export function real({ rows, columns, data }: RealJson): Matrix {
  return matrix(rows, columns, data);
}

export function complex({ rows, columns, re, im }: ComplexJson): ComplexMatrix {
  return complexMatrix(rows, columns, re, im);
}

/** Standard normal numbers from a seed (mulberry32 and Box-Muller). */
export function normals(seed: number): () => number {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

export function randomMatrix(rows: number, columns: number, seed: number): Matrix {
  const next = normals(seed);
  return matrix(rows, columns, Float64Array.from({ length: rows * columns }, next));
}

export function randomComplex(rows: number, columns: number, seed: number): ComplexMatrix {
  const re = randomMatrix(rows, columns, seed).data;
  return complexMatrix(rows, columns, re, randomMatrix(rows, columns, seed + 1e6).data);
}

export function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** max |a - b| over all elements; NaN when any is. */
export function distance(a: Matrix, b: Matrix): number {
  const differences = add(a, b, -1).data;
  return differences.some(Number.isNaN) ? Number.NaN : largest(differences);
}

/** max |qᵀ q - 1|. */
export function orthogonality(q: Matrix): number {
  return distance(multiplyTransposedLeft(q, q), identity(q.columns));
}

export function complexDistance(a: ComplexMatrix, b: ComplexMatrix): number {
  const part = (x: Float64Array, y: Float64Array) =>
    distance(matrix(a.rows, a.columns, x), matrix(b.rows, b.columns, y));
  return Math.max(part(a.re, b.re), part(a.im, b.im));
}

/** max |qᴴ q - 1|. */
export function unitarity(q: ComplexMatrix): number {
  const one = identity(q.columns).data;
  return complexDistance(complexMultiply(adjoint(q), q), complexMatrix(q.columns, q.columns, one));
}

/** The code of the LowRankError that `action` throws. */
export function codeOf(action: () => unknown): string {
  return errorOf(action).code;
}

export function errorOf(action: () => unknown): LowRankError {
  try {
    action();
  } catch (error) {
    if (LowRankError.isInstance(error)) return error;
    throw error;
  }
  throw new Error("expected a LowRankError, nothing was thrown");
}
