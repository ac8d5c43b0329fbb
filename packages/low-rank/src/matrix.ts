import { LowRankError } from "./errors";
import { forBlocks, mirrorUpper } from "./blocks";
import { requireLength, requireRange, requireSquare, requireSymmetric, shapeOf } from "./checks";
import { addProduct, transposed, view } from "./matmul";
import type { View } from "./matmul";

/** A dense float64 matrix, row-major: element (i, j) is `data[i * columns + j]`. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/** 2^28 numbers are 2 GiB: beyond it V8's typed arrays and callers' memory fail unpredictably. */
export const MAX_ELEMENTS = 2 ** 28;

function isSize(n: number): boolean {
  return Number.isSafeInteger(n) && n > 0;
}

/**
 * A `[rows, columns]` matrix, zero or over `data`. A Float64Array is used without a copy, other
 * sequences are copied.
 *
 * @throws LowRankError InvalidArgument (sizes), ShapeMismatch (length of `data`)
 */
export function matrix(
  rows: number,
  columns: number,
  data?: Float64Array | Float32Array | readonly number[],
): Matrix {
  if (!isSize(rows) || !isSize(columns) || rows * columns > MAX_ELEMENTS) {
    throw new LowRankError(
      "InvalidArgument",
      `a matrix of ${rows} x ${columns}: sizes are positive integers, at most ${MAX_ELEMENTS} elements`,
      { rows, columns },
    );
  }
  if (data === undefined) return { rows, columns, data: new Float64Array(rows * columns) };
  if (data.length !== rows * columns) {
    throw new LowRankError(
      "ShapeMismatch",
      `a ${rows} x ${columns} matrix takes ${rows * columns} numbers, got ${data.length}`,
      { rows, columns, length: data.length },
    );
  }
  return { rows, columns, data: data instanceof Float64Array ? data : Float64Array.from(data) };
}

/** The n x n identity. */
export function identity(n: number): Matrix {
  const out = matrix(n, n);
  for (let i = 0; i < n; i += 1) out.data[i * n + i] = 1;
  return out;
}

/** diag(values). */
export function diagonal(values: ArrayLike<number>): Matrix {
  const n = values.length;
  const out = matrix(n, n);
  for (let i = 0; i < n; i += 1) out.data[i * n + i] = values[i];
  return out;
}

/** The entries (i, i). */
export function diagonalOf(m: Matrix): Float64Array {
  return Float64Array.from(
    { length: Math.min(m.rows, m.columns) },
    (_, i) => m.data[i * m.columns + i],
  );
}

/** Sum of the diagonal of a square matrix. */
export function trace(m: Matrix): number {
  requireSquare(m, "trace");
  let sum = 0;
  for (const value of diagonalOf(m)) sum += value;
  return sum;
}

/** sqrt(sum of squares), without overflow. */
export function frobeniusNorm(m: Matrix): number {
  let largest = 0;
  for (const value of m.data) largest = Math.max(largest, Math.abs(value));
  if (largest === 0 || !Number.isFinite(largest)) return largest;
  let sum = 0;
  for (const value of m.data) sum += (value / largest) ** 2;
  return largest * Math.sqrt(sum);
}

/** mᵀ, a copy. */
export function transpose(m: Matrix): Matrix {
  const { rows, columns, data } = m;
  const out = matrix(columns, rows);
  forBlocks(rows, columns, (i0, i1, j0, j1) => {
    for (let i = i0; i < i1; i += 1) {
      for (let j = j0; j < j1; j += 1) out.data[j * rows + i] = data[i * columns + j];
    }
  });
  return out;
}

function product(name: string, a: Matrix, b: Matrix, left: boolean, right: boolean): Matrix {
  const [rows, inner] = left ? [a.columns, a.rows] : [a.rows, a.columns];
  const [inner2, columns] = right ? [b.columns, b.rows] : [b.rows, b.columns];
  if (inner !== inner2) {
    throw new LowRankError(
      "ShapeMismatch",
      `${name}: ${shapeOf(a)} does not fit ${shapeOf(b)} (inner sizes ${inner} and ${inner2})`,
      { a: [a.rows, a.columns], b: [b.rows, b.columns] },
    );
  }
  const out = matrix(rows, columns);
  const operand = (m: Matrix, turn: boolean): View =>
    turn ? transposed(view(m.data, m.columns)) : view(m.data, m.columns);
  addProduct(view(out.data, columns), operand(a, left), operand(b, right), rows, columns, inner);
  return out;
}

/** a b. @throws LowRankError ShapeMismatch */
export function multiply(a: Matrix, b: Matrix): Matrix {
  return product("multiply", a, b, false, false);
}

/** a bᵀ. @throws LowRankError ShapeMismatch */
export function multiplyTransposedRight(a: Matrix, b: Matrix): Matrix {
  return product("multiplyTransposedRight", a, b, false, true);
}

/** aᵀ b. @throws LowRankError ShapeMismatch */
export function multiplyTransposedLeft(a: Matrix, b: Matrix): Matrix {
  return product("multiplyTransposedLeft", a, b, true, false);
}

/** m mᵀ, exactly symmetric, at half the cost of the product. */
export function gram(m: Matrix): Matrix {
  return symmetricProduct(m, m);
}

/**
 * w m wᵀ for a symmetric m, exactly symmetric. The second moment of w x when m is that of x.
 *
 * @throws LowRankError ShapeMismatch, NotSymmetric
 */
export function symmetricForm(w: Matrix, m: Matrix): Matrix {
  requireSymmetric(m, "symmetricForm");
  return symmetricProduct(multiply(w, m), w);
}

/** a bᵀ where the caller knows the result to be symmetric. */
export function symmetricProduct(a: Matrix, b: Matrix): Matrix {
  const n = a.rows;
  const out = matrix(n, n);
  const right = transposed(view(b.data, b.columns));
  addProduct(view(out.data, n), view(a.data, a.columns), right, n, n, a.columns, { upper: true });
  mirrorUpper(out.data, n);
  return out;
}

/** a + factor b. @throws LowRankError ShapeMismatch */
export function add(a: Matrix, b: Matrix, factor = 1): Matrix {
  if (a.rows !== b.rows || a.columns !== b.columns) {
    throw new LowRankError("ShapeMismatch", `add: ${shapeOf(a)} and ${shapeOf(b)} differ`, {
      a: [a.rows, a.columns],
      b: [b.rows, b.columns],
    });
  }
  return matrix(
    a.rows,
    a.columns,
    a.data.map((value, i) => value + factor * b.data[i]),
  );
}

/** diag(factors) m. @throws LowRankError ShapeMismatch */
export function scaleRows(m: Matrix, factors: ArrayLike<number>): Matrix {
  requireLength(factors, m.rows, "scaleRows");
  return matrix(
    m.rows,
    m.columns,
    m.data.map((x, i) => x * factors[Math.floor(i / m.columns)]),
  );
}

/** m diag(factors). @throws LowRankError ShapeMismatch */
export function scaleColumns(m: Matrix, factors: ArrayLike<number>): Matrix {
  requireLength(factors, m.columns, "scaleColumns");
  return matrix(
    m.rows,
    m.columns,
    m.data.map((x, i) => x * factors[i % m.columns]),
  );
}

/** Rows start … end-1, a copy. @throws LowRankError ShapeMismatch */
export function rowSlice(m: Matrix, start: number, end = m.rows): Matrix {
  requireRange(start, end, m.rows, "rowSlice");
  return matrix(end - start, m.columns, m.data.slice(start * m.columns, end * m.columns));
}

/** Columns start … end-1, a copy. @throws LowRankError ShapeMismatch */
export function columnSlice(m: Matrix, start: number, end = m.columns): Matrix {
  requireRange(start, end, m.columns, "columnSlice");
  const out = matrix(m.rows, end - start);
  for (let i = 0; i < m.rows; i += 1) {
    const row = i * m.columns;
    out.data.set(m.data.subarray(row + start, row + end), i * (end - start));
  }
  return out;
}

/** The blocks along the diagonal, zero elsewhere; blocks may be rectangular. */
export function blockDiagonal(blocks: readonly Matrix[]): Matrix {
  let rows = 0;
  let columns = 0;
  for (const block of blocks) {
    rows += block.rows;
    columns += block.columns;
  }
  const out = matrix(rows, columns);
  let row = 0;
  let column = 0;
  for (const block of blocks) {
    for (let i = 0; i < block.rows; i += 1) {
      const source = block.data.subarray(i * block.columns, (i + 1) * block.columns);
      out.data.set(source, (row + i) * columns + column);
    }
    row += block.rows;
    column += block.columns;
  }
  return out;
}
