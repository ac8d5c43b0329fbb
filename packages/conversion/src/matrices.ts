import { matrix, rowSlice, type Matrix } from "@transmla/low-rank";

export const scaled = (m: Matrix, factor: number): Matrix =>
  matrix(
    m.rows,
    m.columns,
    m.data.map((value) => factor * value),
  );

/** A matrix with one more column, of zeros unless given. */
export function withColumn({ rows, columns, data }: Matrix, column?: Float64Array): Matrix {
  const result = matrix(rows, columns + 1);
  for (let row = 0; row < rows; row++) {
    result.data.set(data.subarray(row * columns, (row + 1) * columns), row * (columns + 1));
    if (column) result.data[row * (columns + 1) + columns] = column[row];
  }
  return result;
}

/** Blocks that groups of heads share, repeated for every head. */
export function perHead(blocks: Matrix, count: number, heads: number): Matrix {
  const size = blocks.rows / count;
  const result = matrix(heads * size, blocks.columns);
  for (let i = 0; i < heads; i++) {
    const at = Math.floor((i * count) / heads) * size;
    result.data.set(rowSlice(blocks, at, at + size).data, i * size * blocks.columns);
  }
  return result;
}
