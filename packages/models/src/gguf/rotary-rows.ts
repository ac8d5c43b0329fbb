/** Rows of every head from `re0, im0, re1, im1, …` to `re0, re1, …, im0, im1, …`. A row is any run of bytes. */
export function halfSplitRows(bytes: Uint8Array, rows: number, heads: number): Uint8Array {
  return moveRows(bytes, rows, heads, (from, to) => [to, from]);
}

/** The way back: from `re0, re1, …, im0, im1, …` to `re0, im0, re1, im1, …`. */
export function interleavedRows(bytes: Uint8Array, rows: number, heads: number): Uint8Array {
  return moveRows(bytes, rows, heads, (from, to) => [from, to]);
}

/** `direction` gets a row's place in the half-split and in the interleaved layout and returns where it comes from and goes. */
function moveRows(
  bytes: Uint8Array,
  rows: number,
  heads: number,
  direction: (halfSplit: number, interleaved: number) => readonly [from: number, to: number],
): Uint8Array {
  const result = new Uint8Array(bytes.length);
  const rowBytes = bytes.length / rows;
  const headDim = rows / heads;
  const half = headDim / 2;
  for (let row = 0; row < rows; row++) {
    const component = row % headDim;
    const interleaved = component < half ? 2 * component : 2 * (component - half) + 1;
    const [from, to] = direction(row, row - component + interleaved);
    result.set(bytes.subarray(from * rowBytes, (from + 1) * rowBytes), to * rowBytes);
  }
  return result;
}
