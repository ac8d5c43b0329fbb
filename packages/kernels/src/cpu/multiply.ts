import { ranges, type Call, type Pointer } from "./kernels";
import type { Panels } from "./packed-weight";
import type { Runtime } from "./runtime";

/** Rows of a matrix and the numbers from one to the next; absent: they follow each other. */
export interface Rows {
  readonly pointer: Pointer;
  readonly stride?: number;
}

/** Multiply-adds below which a product is not worth waking another thread for (some 10 microseconds). */
export const WORTH_SPLITTING = 60_000;
/** Rows of `x` from which on threads take different rows; below, they take different outputs. */
export const MANY_ROWS = 32;
/** Most rows of `x` that the kernel packs at once (`assembly/linear.ts`). */
export const BLOCK_ROWS = 120;
/** A multiple of the rows of every kind of panel. */
const PANEL_OUTPUTS = 32;
/** Pieces per thread where rows of weights are shared out: a late thread then leaves less to the others. */
const PIECES = 2;

/** `y = x W^T + b` on addresses. */
export function multiply(
  runtime: Runtime,
  panels: Panels,
  x: Rows & { readonly tokens: number },
  y: Rows,
  bias: Pointer = 0,
): void {
  runtime.run(productCalls(runtime.threads, panels, x, y, bias));
}

/** The calls that make a product, for a number of threads. */
export function productCalls(
  threads: number,
  { pointer, storage, panelRows, panelBytes, inputs, outputs }: Panels,
  x: Rows & { readonly tokens: number },
  y: Rows,
  bias: Pointer = 0,
): Call[] {
  const { tokens, stride: ldx = inputs } = x;
  const ldy = y.stride ?? outputs;
  const part = (token: number, rows: number, output: number, columns: number): Call => [
    "linear",
    y.pointer + 4 * (token * ldy + output),
    ldy,
    x.pointer + 4 * token * ldx,
    ldx,
    pointer + (output / panelRows) * panelBytes,
    storage,
    bias && bias + 4 * output,
    rows,
    inputs,
    columns,
  ];
  const work = tokens * inputs * outputs;
  if (threads === 1 || work < WORTH_SPLITTING) return [part(0, tokens, 0, outputs)];
  if (tokens >= MANY_ROWS * threads) {
    const parts = Math.ceil(tokens / (threads * BLOCK_ROWS)) * threads;
    return ranges(tokens, parts, 4).map(({ first, count }) => part(first, count, 0, outputs));
  }
  const pieces =
    work < PIECES * threads * WORTH_SPLITTING || tokens > 1 ? threads : PIECES * threads;
  return ranges(outputs, pieces, PANEL_OUTPUTS).map(({ first, count }) =>
    part(0, tokens, first, count),
  );
}
