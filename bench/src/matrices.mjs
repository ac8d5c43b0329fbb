import { randomNumbers } from "./random.mjs";

/** `y = x w`, `x [rows, inner]`, `w [inner, columns]`, the same numbers in every process. */
export function matrices({ rows, inner, columns }) {
  return { x: randomNumbers(rows * inner, 1), w: randomNumbers(inner * columns, 2) };
}

export function transposed(values, rows, columns) {
  const result = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result[j * rows + i] = values[i * columns + j];
  }
  return result;
}

/** Entries of the product that every contender reports, for comparison: the last row's first eight. */
export const sampleStart = ({ rows, columns }) => (rows - 1) * columns;
export const SAMPLE = 8;

/** What they should be, in float64. */
export function expectedSample(shape) {
  const { rows, inner, columns } = shape;
  const { x, w } = matrices(shape);
  return Float32Array.from({ length: SAMPLE }, (_, j) => {
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += x[(rows - 1) * inner + k] * w[k * columns + j];
    return sum;
  });
}
