/**
 * Visits a matrix in blocks [i0, i1) x [j0, j1) for work that reads both rows and columns: eight cache
 * lines stay in the L1 cache even where a power of two between the rows maps them to one set.
 */
export function forBlocks(
  rows: number,
  columns: number,
  visit: (i0: number, i1: number, j0: number, j1: number) => void,
): void {
  for (let i = 0; i < rows; i += 8) {
    for (let j = 0; j < columns; j += 8) {
      visit(i, Math.min(rows, i + 8), j, Math.min(columns, j + 8));
    }
  }
}

/** Copies the upper triangle of a row-major `[n, n]` array onto the lower one. */
export function mirrorUpper(data: Float64Array, n: number): void {
  forBlocks(n, n, (i0, i1, j0, j1) => {
    if (j0 > i0) return;
    for (let i = i0; i < i1; i += 1) {
      for (let j = j0; j < Math.min(i, j1); j += 1) data[i * n + j] = data[j * n + i];
    }
  });
}
