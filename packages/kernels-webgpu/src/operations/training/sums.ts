import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes, type BufferUse, type Kernel } from "../../wgsl/kernel";
import { reduction } from "../../wgsl/reduce";

const WORKGROUP = 128;
/** Columns that a workgroup sums up, and invocations that share one of them. */
const COLUMNS = 32;
const LANES = WORKGROUP / COLUMNS;

/**
 * A kernel that sums up `term` over the rows of every column; the term sees `row`, `column` and `at`, the place of a number of
 * `[rows, columns]`.
 */
function columnKernel(name: string, buffers: Record<string, BufferUse>, term: string): Kernel {
  return {
    name,
    params: { rows: "u32", columns: "u32" },
    buffers: { ...buffers, sums: writes("f32") },
    workgroup: WORKGROUP,
    declarations: `var<workgroup> parts: array<f32, ${WORKGROUP}>;`,
    body: /* wgsl */ `
  let column = workgroup_id.x * ${COLUMNS}u + local % ${COLUMNS}u;
  let lane = local / ${COLUMNS}u;
  var sum = 0.0;
  if (column < params.columns) {
    for (var row = lane; row < params.rows; row += ${LANES}u) {
      let at = row * params.columns + column;
      sum += ${term};
    }
  }
  parts[local] = sum;
  workgroupBarrier();
  if (lane == 0u && column < params.columns) {
    for (var other = 1u; other < ${LANES}u; other++) { sum += parts[local + other * ${COLUMNS}u]; }
    sums[column] = sum;
  }`,
  };
}

const gridOfColumns = (columns: number) =>
  ({ grid: [Math.ceil(columns / COLUMNS), 1, 1] }) as const;

/** Sums of the columns of `[rows, columns]`. */
export function columnSums(gpu: Gpu, x: Block, y: Block, rows: number, columns: number): void {
  const make = () => columnKernel("column sums", { x: reads("f32") }, "x[at]");
  gpu.run("column-sums", make, [rows, columns], [x, y], gridOfColumns(columns));
}

/** Numbers that one workgroup of `sumOfSquares` sums up. */
const PIECE = 4096;

/** Sum of the squares of `count` numbers: pieces first, then their sums. */
export function sumOfSquares(gpu: Gpu, x: Block, y: Block, count: number): void {
  const pieces = Math.ceil(count / PIECE);
  const kernel = (name: string, term: string) => (): Kernel => ({
    name,
    params: { count: "u32", piece: "u32" },
    buffers: { x: reads("f32"), sums: writes("f32") },
    workgroup: WORKGROUP,
    declarations: reduction("sum_of", "sum", WORKGROUP),
    body: /* wgsl */ `
  let first = index * params.piece;
  var own = 0.0;
  for (var i = first + local; i < min(first + params.piece, params.count); i += ${WORKGROUP}u) {
    own += ${term};
  }
  let sum = sum_of(local, own);
  if (local == 0u && first < params.count) { sums[index] = sum; }`,
  });
  gpu.temporarily((take) => {
    const sums = take(4 * pieces);
    const squares = kernel("squares of pieces", "x[i] * x[i]");
    gpu.run("squares", squares, [count, PIECE], [x, sums], { count: pieces });
    const total = kernel("sum of pieces", "x[i]");
    gpu.run("sum", total, [pieces, pieces], [sums, y], { count: 1 });
  });
}

/** Gradients of `rmsNorm` for groups of `width` numbers: a workgroup for each, then the weight's over all of them. */
export function rmsNormBackward(
  gpu: Gpu,
  { x, weight, dy }: { readonly x: Block; readonly weight: Block; readonly dy: Block },
  epsilon: number,
  [dx, dWeight]: readonly [Block, Block],
  { groups, width }: { readonly groups: number; readonly width: number },
): void {
  const weightKernel = () =>
    columnKernel(
      "rms norm backward, weight",
      { x: reads("f32"), dy: reads("f32"), inverses: reads("f32") },
      "dy[at] * x[at] * inverses[row]",
    );
  gpu.temporarily((take) => {
    const inverses = take(4 * groups);
    const blocks = [x, weight, dy, dx, inverses];
    gpu.run("rms-norm-backward", rmsKernel, [groups, width, epsilon], blocks, { count: groups });
    const grid = gridOfColumns(width);
    gpu.run("rms-weight", weightKernel, [groups, width], [x, dy, inverses, dWeight], grid);
  });
}

/** `dx = (w dy - x (x . w dy) / (width r^2)) / r` with `r` the root mean square; and `1 / r` of every group. */
function rmsKernel(): Kernel {
  return {
    name: "rms norm backward",
    params: { groups: "u32", width: "u32", epsilon: "f32" },
    buffers: {
      x: reads("f32"),
      weight: reads("f32"),
      dy: reads("f32"),
      dx: writes("f32"),
      inverses: writes("f32"),
    },
    workgroup: WORKGROUP,
    declarations: reduction("sum_of", "sum", WORKGROUP),
    body: /* wgsl */ `
  if (index >= params.groups) { return; }
  let start = index * params.width;
  var square = 0.0;
  var product = 0.0;
  for (var c = local; c < params.width; c += ${WORKGROUP}u) {
    let value = x[start + c];
    square += value * value;
    product += value * weight[c] * dy[start + c];
  }
  let mean = sum_of(local, square) / f32(params.width) + params.epsilon;
  // A division, because inverseSqrt is allowed to be coarse.
  let inverse = 1.0 / sqrt(mean);
  let pull = sum_of(local, product) / (f32(params.width) * mean);
  for (var c = local; c < params.width; c += ${WORKGROUP}u) {
    dx[start + c] = inverse * (weight[c] * dy[start + c] - x[start + c] * pull);
  }
  if (local == 0u) { inverses[index] = inverse; }`,
  };
}
