import { createKernels } from "./kernels";
import type { Kernels } from "./kernels";
import { copyRun } from "./vector";

/**
 * The dense product every other file goes through: operands packed into panels, 4x4 register tiles.
 *
 * Operands are strided views, so that transposes and sub-blocks cost nothing. Each element of the
 * result is summed in the order of the inner index, in blocks of `STEP_BLOCK`: the same inputs give
 * the same bits.
 */

/** Element (i, j) is `data[offset + i * rowStride + j * columnStride]`; one of the strides is 1. */
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
/** Numbers copied into the kernels' memory before they are packed. */
const STAGED = 16384;

const LEFT = 0;
const RIGHT = LEFT + ROW_BLOCK * STEP_BLOCK;
const BLOCK = RIGHT + COLUMN_BLOCK * STEP_BLOCK;
const STAGE = BLOCK + ROW_BLOCK * COLUMN_BLOCK;
const WORKSPACE = STAGE + STAGED;

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
  for (let j = 0; j < columns; j += COLUMN_BLOCK) {
    const width = Math.min(COLUMN_BLOCK, columns - j);
    for (let k = 0; k < inner; k += STEP_BLOCK) {
      const steps = Math.min(STEP_BLOCK, inner - k);
      pack(kernels, RIGHT, part(transposed(b), j, k), width, steps, 1);
      const lastRow = upper ? Math.min(rows, j + width) : rows;
      for (let i = 0; i < lastRow; i += ROW_BLOCK) {
        const height = Math.min(ROW_BLOCK, lastRow - i);
        pack(kernels, LEFT, part(a, i, k), height, steps, sign);
        addPanels(kernels, part(out, i, j), height, width, steps, upper ? j - i : height);
      }
    }
  }
}

/** The view from (i, j) on. */
function part(of: View, i: number, j: number): View {
  return { ...of, offset: of.offset + i * of.rowStride + j * of.columnStride };
}

/** Adds the product of the packed panels to the elements of `out` for which row <= column + below. */
function addPanels(
  kernels: Kernels,
  { data, offset, rowStride }: View,
  height: number,
  width: number,
  steps: number,
  below: number,
): void {
  const { numbers } = kernels;
  const eachRow = (visit: (inside: number, outside: number, n: number) => void) => {
    for (let y = 0; y < height; y += 1) {
      const x = Math.max(0, y - below);
      if (x < width) visit(BLOCK + y * COLUMN_BLOCK + x, offset + y * rowStride + x, width - x);
    }
  };
  eachRow((inside, outside, n) => copyRun(data, outside, numbers, inside, n));
  const [rowGroups, columnGroups] = [Math.ceil(height / TILE), Math.ceil(width / TILE)];
  kernels.multiplyPanels(BLOCK, COLUMN_BLOCK, LEFT, RIGHT, rowGroups, columnGroups, steps, below);
  eachRow((inside, outside, n) => copyRun(numbers, inside, data, outside, n));
}

/** Interleaves groups of four rows, zero-padded: `[row / 4][step][4]`. */
function pack(
  kernels: Kernels,
  target: number,
  { data, offset, rowStride, columnStride }: View,
  rows: number,
  steps: number,
  sign: number,
): void {
  const { numbers } = kernels;
  if (columnStride === 1) {
    // Staged as [row][step].
    const most = Math.floor(STAGED / steps / TILE) * TILE;
    for (let r = 0; r < rows; r += most) {
      const count = Math.min(most, rows - r);
      for (let i = 0; i < count; i += 1) {
        copyRun(data, offset + (r + i) * rowStride, numbers, STAGE + i * steps, steps);
      }
      kernels.packRows(target + r * steps, STAGE, count, steps, sign);
    }
    return;
  }
  // Staged as [step][row].
  const most = Math.floor(STAGED / rows);
  for (let k = 0; k < steps; k += most) {
    const count = Math.min(most, steps - k);
    for (let i = 0; i < count; i += 1) {
      copyRun(data, offset + (k + i) * columnStride, numbers, STAGE + i * rows, rows);
    }
    kernels.packColumns(target + k * TILE, steps, STAGE, rows, count, sign);
  }
}
