/**
 * The dense product every other file goes through: packed panels and a 4x4 register tile.
 *
 * Operands are strided views, so that transposes and sub-blocks cost nothing. Each element of the
 * result is summed in the order of the inner index, in blocks of `STEP_BLOCK`: the same inputs give
 * the same bits.
 */

/** Element (i, j) is `data[offset + i * rowStride + j * columnStride]`. */
export interface View {
  readonly data: Float64Array;
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** Row-major view: `stride` numbers from one row to the next. */
export function view(data: Float64Array, stride: number, offset = 0): View {
  return { data, offset, rowStride: stride, columnStride: 1 };
}

/** The transpose of a view; no data moves. */
export function transposed(of: View): View {
  return { ...of, rowStride: of.columnStride, columnStride: of.rowStride };
}

export interface ProductOptions {
  /** -1 subtracts the product. */
  readonly sign?: 1 | -1;
  /** Only elements on or above the diagonal are wanted; those below are left undefined. */
  readonly upper?: boolean;
}

/** Side of the register tile: 16 running sums. */
const TILE = 4;
/** Inner-index block: one packed 4-wide panel is 8 KB, a quarter of a common L1 cache. */
const STEP_BLOCK = 256;
/** Rows of `a` packed at once: 128 KB, within a common L2 cache. */
const ROW_BLOCK = 64;
/** Columns of `b` packed at once: 1 MB. */
const COLUMN_BLOCK = 512;

let leftPanels: Float64Array | undefined;
let rightPanels: Float64Array | undefined;
const edgeTile = new Float64Array(TILE * TILE);

/**
 * out += sign * a b, with a `[rows, inner]`, b `[inner, columns]` and `out` a row-major view that
 * overlaps neither operand.
 */
export function addProduct(
  out: View,
  a: View,
  b: View,
  rows: number,
  columns: number,
  inner: number,
  { sign = 1, upper = false }: ProductOptions = {},
): void {
  leftPanels ??= new Float64Array(ROW_BLOCK * STEP_BLOCK);
  rightPanels ??= new Float64Array(COLUMN_BLOCK * STEP_BLOCK);
  const left = leftPanels;
  const right = rightPanels;
  for (let j = 0; j < columns; j += COLUMN_BLOCK) {
    const width = Math.min(COLUMN_BLOCK, columns - j);
    for (let k = 0; k < inner; k += STEP_BLOCK) {
      const steps = Math.min(STEP_BLOCK, inner - k);
      const bStart = b.offset + k * b.rowStride + j * b.columnStride;
      pack(right, b.data, bStart, b.columnStride, b.rowStride, width, steps, 1);
      const lastRow = upper ? Math.min(rows, j + width) : rows;
      for (let i = 0; i < lastRow; i += ROW_BLOCK) {
        const height = Math.min(ROW_BLOCK, lastRow - i);
        const aStart = a.offset + i * a.rowStride + k * a.columnStride;
        pack(left, a.data, aStart, a.rowStride, a.columnStride, height, steps, sign);
        addPanels(out, left, right, i, j, height, width, steps, upper);
      }
    }
  }
}

/** Interleaves groups of four lanes (rows of a, columns of b), zero-padded: `[lane / 4][step][4]`. */
function pack(
  panel: Float64Array,
  data: Float64Array,
  start: number,
  laneStride: number,
  stepStride: number,
  lanes: number,
  steps: number,
  sign: number,
): void {
  let target = 0;
  for (let lane = 0; lane < lanes; lane += TILE) {
    let source = start + lane * laneStride;
    if (lane + TILE <= lanes) {
      const lane2 = 2 * laneStride;
      const lane3 = 3 * laneStride;
      for (let step = 0; step < steps; step += 1, target += TILE, source += stepStride) {
        panel[target] = sign * data[source];
        panel[target + 1] = sign * data[source + laneStride];
        panel[target + 2] = sign * data[source + lane2];
        panel[target + 3] = sign * data[source + lane3];
      }
      continue;
    }
    const present = lanes - lane;
    for (let step = 0; step < steps; step += 1, source += stepStride) {
      for (let t = 0; t < TILE; t += 1, target += 1) {
        panel[target] = t < present ? sign * data[source + t * laneStride] : 0;
      }
    }
  }
}

function addPanels(
  out: View,
  left: Float64Array,
  right: Float64Array,
  row: number,
  column: number,
  height: number,
  width: number,
  steps: number,
  upper: boolean,
): void {
  const { data, rowStride } = out;
  for (let j = 0; j < width; j += TILE) {
    for (let i = 0; i < height; i += TILE) {
      if (upper && row + i > column + j + TILE - 1) break;
      const target = out.offset + (row + i) * rowStride + column + j;
      if (i + TILE <= height && j + TILE <= width) {
        addTile(data, target, rowStride, left, i * steps, right, j * steps, steps);
        continue;
      }
      edgeTile.fill(0);
      addTile(edgeTile, 0, TILE, left, i * steps, right, j * steps, steps);
      for (let y = 0; y < Math.min(TILE, height - i); y += 1) {
        for (let x = 0; x < Math.min(TILE, width - j); x += 1) {
          data[target + y * rowStride + x] += edgeTile[y * TILE + x];
        }
      }
    }
  }
}

/** The inner kernel: a 4x4 tile of out += left panel * right panel. */
function addTile(
  out: Float64Array,
  target: number,
  stride: number,
  left: Float64Array,
  leftStart: number,
  right: Float64Array,
  rightStart: number,
  steps: number,
): void {
  let c00 = 0,
    c01 = 0,
    c02 = 0,
    c03 = 0;
  let c10 = 0,
    c11 = 0,
    c12 = 0,
    c13 = 0;
  let c20 = 0,
    c21 = 0,
    c22 = 0,
    c23 = 0;
  let c30 = 0,
    c31 = 0,
    c32 = 0,
    c33 = 0;
  let q = rightStart;
  const end = leftStart + TILE * steps;
  for (let p = leftStart; p < end; p += TILE, q += TILE) {
    const a0 = left[p];
    const a1 = left[p + 1];
    const a2 = left[p + 2];
    const a3 = left[p + 3];
    const b0 = right[q];
    const b1 = right[q + 1];
    const b2 = right[q + 2];
    const b3 = right[q + 3];
    c00 += a0 * b0;
    c01 += a0 * b1;
    c02 += a0 * b2;
    c03 += a0 * b3;
    c10 += a1 * b0;
    c11 += a1 * b1;
    c12 += a1 * b2;
    c13 += a1 * b3;
    c20 += a2 * b0;
    c21 += a2 * b1;
    c22 += a2 * b2;
    c23 += a2 * b3;
    c30 += a3 * b0;
    c31 += a3 * b1;
    c32 += a3 * b2;
    c33 += a3 * b3;
  }
  out[target] += c00;
  out[target + 1] += c01;
  out[target + 2] += c02;
  out[target + 3] += c03;
  target += stride;
  out[target] += c10;
  out[target + 1] += c11;
  out[target + 2] += c12;
  out[target + 3] += c13;
  target += stride;
  out[target] += c20;
  out[target + 1] += c21;
  out[target + 2] += c22;
  out[target + 3] += c23;
  target += stride;
  out[target] += c30;
  out[target + 1] += c31;
  out[target + 2] += c32;
  out[target + 3] += c33;
}

/** Copies the upper triangle of a row-major `[n, n]` array onto the lower one. */
export function mirrorUpper(data: Float64Array, n: number): void {
  for (let i = 1; i < n; i += 1) {
    for (let j = 0; j < i; j += 1) data[i * n + j] = data[j * n + i];
  }
}
