import type { deviceKit, ProductForm } from "@transmla/kernels";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes, type Kernel } from "../../wgsl/kernel";

/** Rows and columns of the result that one workgroup makes. */
const TILE = 64;
/** Terms that a workgroup holds at a time. */
const DEPTH = 16;
/** Quads of rows or columns of a tile. */
const QUADS = TILE / 4;
const WORKGROUP = QUADS * QUADS;

/** Which index of a factor runs along its rows in memory: the terms of a sum, or the lines (rows of `y`, columns of `y`). */
type Layout = "terms" | "lines";

const layouts: Readonly<Record<ProductForm, { readonly a: Layout; readonly b: Layout }>> = {
  ab: { a: "terms", b: "lines" },
  abT: { a: "terms", b: "terms" },
  aTb: { a: "lines", b: "lines" },
};

export type ProductSizes = ReturnType<typeof deviceKit.checkProduct>;

/** `y = a b` in one of its forms, or `y += a b`: every invocation makes 4 x 4 results from pieces that its workgroup shares. */
export function product(
  gpu: Gpu,
  form: ProductForm,
  { rows, columns, depth }: ProductSizes,
  { a, b, y }: { readonly a: Block; readonly b: Block; readonly y: Block },
  adds: boolean,
): void {
  const grid = [Math.ceil(columns / TILE), Math.ceil(rows / TILE), 1] as const;
  const params = [rows, columns, depth, adds ? 1 : 0];
  gpu.run(`product/${form}`, () => kernel(form), params, [a, b, y], { grid });
}

function kernel(form: ProductForm): Kernel {
  const { a, b } = layouts[form];
  return {
    name: `product ${form}`,
    params: { rows: "u32", columns: "u32", depth: "u32", adds: "u32" },
    buffers: { a: reads("f32"), b: reads("f32"), y: writes("f32") },
    workgroup: WORKGROUP,
    declarations: /* wgsl */ `
/** Pieces of the factors, four lines of one term together: [terms][quads]. */
var<workgroup> left: array<vec4<f32>, ${DEPTH * QUADS}>;
var<workgroup> right: array<vec4<f32>, ${DEPTH * QUADS}>;
${factor("a", a, "params.rows")}
${factor("b", b, "params.columns")}`,
    body: /* wgsl */ `
  let firstRow = workgroup_id.y * ${TILE}u;
  let firstColumn = workgroup_id.x * ${TILE}u;
  let rowQuad = local / ${QUADS}u;
  let columnQuad = local % ${QUADS}u;
  var sum = array<vec4<f32>, 4>();
  for (var start = 0u; start < params.depth; start += ${DEPTH}u) {
    ${load("left", "a", a, "firstRow")}
    ${load("right", "b", b, "firstColumn")}
    workgroupBarrier();
    for (var k = 0u; k < ${DEPTH}u; k++) {
      let x = left[k * ${QUADS}u + rowQuad];
      let w = right[k * ${QUADS}u + columnQuad];
      for (var i = 0u; i < 4u; i++) { sum[i] = fma(vec4<f32>(x[i]), w, sum[i]); }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    for (var j = 0u; j < 4u; j++) {
      let row = firstRow + 4u * rowQuad + i;
      let column = firstColumn + 4u * columnQuad + j;
      if (row < params.rows && column < params.columns) {
        let at = row * params.columns + column;
        if (params.adds == 1u) { y[at] += sum[i][j]; } else { y[at] = sum[i][j]; }
      }
    }
  }`,
  };
}

/** WGSL: `NAME_at(line, term)`, zero beyond the factor. */
function factor(name: string, layout: Layout, lines: string): string {
  const at = layout === "terms" ? "line * params.depth + term" : `term * ${lines} + line`;
  return /* wgsl */ `
fn ${name}_at(line: u32, term: u32) -> f32 {
  if (line >= ${lines} || term >= params.depth) { return 0.0; }
  return ${name}[${at}];
}`;
}

/** WGSL: one piece of a factor for each invocation; neighbours read what lies together. */
function load(tile: string, name: string, layout: Layout, first: string): string {
  const [term, quad] =
    layout === "terms"
      ? [`local % ${DEPTH}u`, `local / ${DEPTH}u`]
      : [`local / ${QUADS}u`, `local % ${QUADS}u`];
  return /* wgsl */ `{
      let term = ${term};
      let quad = ${quad};
      let line = ${first} + 4u * quad;
      ${tile}[term * ${QUADS}u + quad] = vec4<f32>(
        ${[0, 1, 2, 3].map((i) => `${name}_at(line + ${i}u, start + term)`).join(", ")});
    }`;
}
