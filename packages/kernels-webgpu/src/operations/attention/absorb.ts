import { weightFormats } from "../../formats/weight-formats";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes, type Kernel } from "../../wgsl/kernel";
import { rowElements, wholeWeight, type GpuWeight } from "../weights";

const WORKGROUP = 64;

/** Tokens of a tensor `[tokens, heads * width]` that take part. */
export interface TokenRange {
  readonly first: number;
  readonly count: number;
}

/**
 * `q~ = U_b^T q` for every token and head, `b` the block of the head: `q [tokens, heads * nopeDim]`, `U [blocks * nopeDim, rank]` →
 * `[tokens, heads * rank]`. An invocation makes four neighbouring numbers for up to four heads and tokens of one block.
 */
export function absorbQueries(
  gpu: Gpu,
  query: Block,
  up: { readonly weight: GpuWeight; readonly blocks: number },
  size: { readonly heads: number; readonly nopeDim: number },
  tokens: TokenRange,
  y: Block,
): void {
  const { weight, blocks } = up;
  const { heads, nopeDim } = size;
  const rank = weight.shape[1];
  const group = heads / blocks;
  const rows = tokens.count * group;
  const pairs = rows === 1 ? 1 : 4;
  gpu.run(
    `absorb/${weight.storage}/${pairs}`,
    () => kernel(weight, pairs),
    [
      rows,
      rank,
      nopeDim,
      rowElements(weight),
      weightFormats[weight.storage].tailWord(rank),
      group,
      heads,
      tokens.first,
    ],
    [query, wholeWeight(weight, "keyUp"), y],
    { grid: [Math.ceil(rank / 4 / WORKGROUP), Math.ceil(rows / pairs), blocks] },
  );
}

function kernel({ storage }: GpuWeight, pairs: number): Kernel {
  const format = weightFormats[storage];
  const each = (line: (i: number) => string) =>
    Array.from({ length: pairs }, (_, i) => line(i)).join("\n");
  return {
    name: `absorb ${storage}`,
    params: {
      rows: "u32",
      rank: "u32",
      nopeDim: "u32",
      rowElements: "u32",
      tail: "u32",
      group: "u32",
      heads: "u32",
      firstToken: "u32",
    },
    buffers: { query: reads("f32"), weights: reads(format.element), y: writes("f32") },
    workgroup: WORKGROUP,
    declarations: format.code,
    body: /* wgsl */ `
  let column = (workgroup_id.x * ${WORKGROUP}u + local) * 4u;
  if (column >= params.rank) { return; }
  let first = workgroup_id.y * ${pairs}u;
  ${each(
    (i) => /* wgsl */ `let r${i} = min(first + ${i}u, params.rows - 1u);
  let row${i} = (r${i} / params.group + params.firstToken) * params.heads + workgroup_id.z * params.group + r${i} % params.group;
  var sum${i} = vec4<f32>();`,
  )}
  for (var d = 0u; d < params.nopeDim; d++) {
    let upRow = workgroup_id.z * params.nopeDim + d;
    let scale = scaleOf(upRow, column);
    let up = scale.x * raw4(upRow, column) + scale.y;
    ${each((i) => `sum${i} += query[row${i} * params.nopeDim + d] * up;`)}
  }
  ${each(
    (i) => /* wgsl */ `if (first + ${i}u < params.rows) {
    for (var c = 0u; c < min(4u, params.rank - column); c++) { y[row${i} * params.rank + column + c] = sum${i}[c]; }
  }`,
  )}`,
  };
}
