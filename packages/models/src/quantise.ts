/**
 * Rounds every row to signed bytes with one float32 scale, `max |w| / 127`, in the layout of the storage `i8` of
 * `@transmla/kernels`: the scale, then one byte per column.
 *
 * @param values `[rows, columns]`, row-major
 */
export function quantiseRows(values: Float32Array, columns: number): Uint8Array {
  const rows = values.length / columns;
  const stride = 4 + columns;
  const bytes = new Uint8Array(rows * stride);
  const view = new DataView(bytes.buffer);
  for (let row = 0; row < rows; row++) {
    const from = row * columns;
    let largest = 0;
    for (let i = 0; i < columns; i++) largest = Math.max(largest, Math.abs(values[from + i]));
    const scale = Math.fround(largest / 127);
    view.setFloat32(row * stride, scale, true);
    if (scale === 0) continue;
    for (let i = 0; i < columns; i++) {
      bytes[row * stride + 4 + i] = Math.max(
        -127,
        Math.min(127, roundEven(values[from + i] / scale)),
      );
    }
  }
  return bytes;
}

/** To the nearest whole number, of two to the even one. */
function roundEven(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
