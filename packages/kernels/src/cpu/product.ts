import type { ProductForm } from "../training-device";
import type { ProductSizes } from "../validate";
import { ranges, type Call, type Pointer } from "./kernels";
import { BLOCK_ROWS, MANY_ROWS, WORTH_SPLITTING } from "./multiply";
import type { Runtime } from "./runtime";

/** Storage F32 in `assembly/storages.ts`. */
const F32 = 0;

/** `y = a b` in one of its forms, or `y += a b` with `add`. The right factor is packed into panels first. */
export function product(
  runtime: Runtime,
  form: ProductForm,
  { rows, columns, depth }: ProductSizes,
  [y, a, b]: readonly [Pointer, Pointer, Pointer],
  add: boolean,
): void {
  const { threads } = runtime;
  const panels = Math.ceil(columns / 8);
  const panelBytes = runtime.panelBytes(F32, depth);
  const single = threads === 1 || rows * columns * depth < WORTH_SPLITTING;
  runtime.memory.temporarily((allocate) => {
    const packed = allocate(panels * panelBytes);
    runtime.run(
      ranges(panels, single ? 1 : threads, 1).map(({ first, count }): Call => {
        return form === "abT"
          ? ["packPanels", packed, b, depth, columns, depth, first, count]
          : ["packTransposedPanels", packed, b, columns, depth, first, count];
      }),
    );
    const transposed = form === "aTb";
    const part = (row: number, count: number, column: number, width: number): Call => [
      "product",
      y + 4 * (row * columns + column),
      columns,
      a + 4 * row * (transposed ? 1 : depth),
      transposed ? rows : depth,
      transposed ? 1 : 0,
      packed + (column / 8) * panelBytes,
      depth,
      0,
      count,
      depth,
      width,
      add ? 1 : 0,
    ];
    if (single) runtime.run([part(0, rows, 0, columns)]);
    else if (rows >= MANY_ROWS * threads) {
      const parts = Math.ceil(rows / (threads * BLOCK_ROWS)) * threads;
      runtime.run(ranges(rows, parts, 4).map(({ first, count }) => part(first, count, 0, columns)));
    } else {
      runtime.run(
        ranges(columns, threads, 8).map((range) => part(0, rows, range.first, range.count)),
      );
    }
  });
}
