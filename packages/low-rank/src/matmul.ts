import { createKernels } from "./kernels";
import type { Kernels } from "./kernels";

/**
 * The dense product every other file goes through: operands packed into panels, 4x4 register tiles.
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

/** Side of the register tile. */
const TILE = 4;
/** Inner-index block: one packed 4-wide panel is 8 KB, a quarter of a common L1 cache. */
const STEP_BLOCK = 256;
/** Rows of `a` packed at once: 128 KB, within a common L2 cache. */
const ROW_BLOCK = 64;
/** Columns of `b` packed at once: 1 MB. */
const COLUMN_BLOCK = 512;

const LEFT = 0;
const RIGHT = LEFT + ROW_BLOCK * STEP_BLOCK;
const BLOCK = RIGHT + COLUMN_BLOCK * STEP_BLOCK;
const WORKSPACE = BLOCK + ROW_BLOCK * COLUMN_BLOCK;

let shared: Kernels | undefined;

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
  const kernels = (shared ??= createKernels(WORKSPACE));
  const { numbers } = kernels;
  for (let j = 0; j < columns; j += COLUMN_BLOCK) {
    const width = Math.min(COLUMN_BLOCK, columns - j);
    for (let k = 0; k < inner; k += STEP_BLOCK) {
      const steps = Math.min(STEP_BLOCK, inner - k);
      const bStart = b.offset + k * b.rowStride + j * b.columnStride;
      pack(numbers, RIGHT, b.data, bStart, b.columnStride, b.rowStride, width, steps, 1);
      const lastRow = upper ? Math.min(rows, j + width) : rows;
      for (let i = 0; i < lastRow; i += ROW_BLOCK) {
        const height = Math.min(ROW_BLOCK, lastRow - i);
        const aStart = a.offset + i * a.rowStride + k * a.columnStride;
        pack(numbers, LEFT, a.data, aStart, a.rowStride, a.columnStride, height, steps, sign);
        const below = upper ? j - i : height;
        const groups = Math.ceil(width / TILE);
        kernels.multiplyPanels(
          BLOCK,
          COLUMN_BLOCK,
          LEFT,
          RIGHT,
          Math.ceil(height / TILE),
          groups,
          steps,
          below,
        );
        addBlock(out.data, out.offset + i * out.rowStride + j, out.rowStride, numbers, {
          height,
          width,
          below,
        });
      }
    }
  }
}

/** Adds the computed block to the result, from the diagonal on where only that part is wanted. */
function addBlock(
  data: Float64Array,
  target: number,
  stride: number,
  numbers: Float64Array,
  { height, width, below }: { height: number; width: number; below: number },
): void {
  for (let y = 0; y < height; y += 1) {
    const row = target + y * stride;
    const source = BLOCK + y * COLUMN_BLOCK;
    for (let x = Math.max(0, y - below); x < width; x += 1) data[row + x] += numbers[source + x];
  }
}

/** Interleaves groups of four lanes (rows of a, columns of b), zero-padded: `[lane / 4][step][4]`. */
function pack(
  panel: Float64Array,
  target: number,
  data: Float64Array,
  start: number,
  laneStride: number,
  stepStride: number,
  lanes: number,
  steps: number,
  sign: number,
): void {
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

/** Copies the upper triangle of a row-major `[n, n]` array onto the lower one. */
export function mirrorUpper(data: Float64Array, n: number): void {
  for (let i = 1; i < n; i += 1) {
    for (let j = 0; j < i; j += 1) data[i * n + j] = data[j * n + i];
  }
}
