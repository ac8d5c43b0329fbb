import { requireFinite, shapeOf } from "./checks";
import { LowRankError } from "./errors";
import { addProduct, view } from "./matmul";
import { matrix, transpose } from "./matrix";
import type { Matrix } from "./matrix";

/** A dense complex matrix, row-major, real and imaginary parts apart. */
export interface ComplexMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly re: Float64Array;
  readonly im: Float64Array;
}

type Numbers = Float64Array | Float32Array | readonly number[];

/**
 * A `[rows, columns]` complex matrix; parts left out are zero, Float64Arrays are not copied.
 *
 * @throws LowRankError InvalidArgument, ShapeMismatch
 */
export function complexMatrix(
  rows: number,
  columns: number,
  re?: Numbers,
  im?: Numbers,
): ComplexMatrix {
  return {
    rows,
    columns,
    re: matrix(rows, columns, re).data,
    im: matrix(rows, columns, im).data,
  };
}

/** The real part, as a view: no copy. */
export function realPart(m: ComplexMatrix): Matrix {
  return { rows: m.rows, columns: m.columns, data: m.re };
}

/** The imaginary part, as a view: no copy. */
export function imaginaryPart(m: ComplexMatrix): Matrix {
  return { rows: m.rows, columns: m.columns, data: m.im };
}

/** a b. @throws LowRankError ShapeMismatch */
export function complexMultiply(a: ComplexMatrix, b: ComplexMatrix): ComplexMatrix {
  if (a.columns !== b.rows) {
    throw new LowRankError(
      "ShapeMismatch",
      `complexMultiply: ${shapeOf(a)} does not fit ${shapeOf(b)}`,
      { a: [a.rows, a.columns], b: [b.rows, b.columns] },
    );
  }
  const out = complexMatrix(a.rows, b.columns);
  const addPart = (target: Float64Array, x: Float64Array, y: Float64Array, sign: 1 | -1) => {
    const [left, right] = [view(x, a.columns), view(y, b.columns)];
    addProduct(view(target, b.columns), left, right, a.rows, b.columns, a.columns, { sign });
  };
  addPart(out.re, a.re, b.re, 1);
  addPart(out.re, a.im, b.im, -1);
  addPart(out.im, a.re, b.im, 1);
  addPart(out.im, a.im, b.re, 1);
  return out;
}

/** The conjugate transpose. */
export function adjoint(m: ComplexMatrix): ComplexMatrix {
  const re = transpose(realPart(m)).data;
  const im = transpose(imaginaryPart(m)).data.map((value) => -value);
  return { rows: m.columns, columns: m.rows, re, im };
}

/** m diag(factors), real factors. @throws LowRankError ShapeMismatch */
export function scaleComplexColumns(m: ComplexMatrix, factors: ArrayLike<number>): ComplexMatrix {
  if (factors.length !== m.columns) {
    throw new LowRankError(
      "ShapeMismatch",
      `scaleComplexColumns: expected ${m.columns} factors, got ${factors.length}`,
      { expected: m.columns, actual: factors.length },
    );
  }
  const scaled = (data: Float64Array) => data.map((value, i) => value * factors[i % m.columns]);
  return { rows: m.rows, columns: m.columns, re: scaled(m.re), im: scaled(m.im) };
}

export function requireComplexFinite(m: ComplexMatrix, name: string): void {
  requireFinite(realPart(m), `${name} (real part)`);
  requireFinite(imaginaryPart(m), `${name} (imaginary part)`);
}

/** The largest |re| or |im|. */
export function largestPart(m: ComplexMatrix): number {
  let largest = 0;
  for (let i = 0; i < m.re.length; i += 1) {
    largest = Math.max(largest, Math.abs(m.re[i]), Math.abs(m.im[i]));
  }
  return largest;
}

/**
 * Multiplies a run of n complex numbers by the unit factor that makes its leading component real and
 * positive, and returns that factor. "Leading" is the first within one part in a million of the
 * largest magnitude, so that rounding cannot move it.
 */
export function normalisePhase(
  re: Float64Array,
  im: Float64Array,
  start: number,
  n: number,
): { re: number; im: number } {
  let largest = 0;
  for (let t = start; t < start + n; t += 1) largest = Math.max(largest, Math.hypot(re[t], im[t]));
  if (largest === 0) return { re: 1, im: 0 };
  let lead = start;
  while (Math.hypot(re[lead], im[lead]) < largest * (1 - 1e-6)) lead += 1;
  const size = Math.hypot(re[lead], im[lead]);
  const phase = { re: re[lead] / size, im: -im[lead] / size };
  turn(re, im, start, n, phase);
  im[lead] = 0;
  return phase;
}

/** Multiplies a run of n complex numbers by `phase`. */
export function turn(
  re: Float64Array,
  im: Float64Array,
  start: number,
  n: number,
  phase: { readonly re: number; readonly im: number },
): void {
  for (let t = start; t < start + n; t += 1) {
    const real = re[t] * phase.re - im[t] * phase.im;
    im[t] = re[t] * phase.im + im[t] * phase.re;
    re[t] = real;
  }
}
