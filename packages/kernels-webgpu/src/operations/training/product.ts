import type { deviceKit, ProductForm } from "@transmla/kernels";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { reads, writes, type Kernel } from "../../wgsl/kernel";

/** Terms that a workgroup holds at a time. */
const DEPTH = 16;

/** Rows or columns of the result that one workgroup makes, of so many there are: few for adapters and short batches. */
const tileOf = (lines: number): number => (lines <= 16 ? 16 : 64);

/** What tells the kernels of products apart. */
interface ProductVariant {
  readonly form: ProductForm;
  readonly tileRows: number;
  readonly tileColumns: number;
}

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
  const [tileRows, tileColumns] = [tileOf(rows), tileOf(columns)];
  const variant = { form, tileRows, tileColumns };
  const grid = [Math.ceil(columns / tileColumns), Math.ceil(rows / tileRows), 1] as const;
  const params = [rows, columns, depth, adds ? 1 : 0];
  const key = `product/${JSON.stringify(variant)}`;
  gpu.run(key, () => kernel(variant), params, [a, b, y], { grid });
}

function kernel({ form, tileRows, tileColumns }: ProductVariant): Kernel {
  const { a, b } = layouts[form];
  const [rowQuads, columnQuads] = [tileRows / 4, tileColumns / 4];
  const workgroup = rowQuads * columnQuads;
  return {
    name: `product ${form}, ${tileRows} x ${tileColumns}`,
    params: { rows: "u32", columns: "u32", depth: "u32", adds: "u32" },
    buffers: { a: reads("f32"), b: reads("f32"), y: writes("f32") },
    workgroup,
    declarations: /* wgsl */ `
/** Pieces of the factors, four lines of one term together: [terms][quads]. */
var<workgroup> left: array<vec4<f32>, ${DEPTH * rowQuads}>;
var<workgroup> right: array<vec4<f32>, ${DEPTH * columnQuads}>;
${factor("a", a, "params.rows")}
${factor("b", b, "params.columns")}`,
    body: /* wgsl */ `
  let firstRow = workgroup_id.y * ${tileRows}u;
  let firstColumn = workgroup_id.x * ${tileColumns}u;
  let rowQuad = local / ${columnQuads}u;
  let columnQuad = local % ${columnQuads}u;
  var sum = array<vec4<f32>, 4>();
  for (var start = 0u; start < params.depth; start += ${DEPTH}u) {
    ${load({ tile: "left", name: "a", layout: a, first: "firstRow", quads: rowQuads, workgroup })}
    ${load({ tile: "right", name: "b", layout: b, first: "firstColumn", quads: columnQuads, workgroup })}
    workgroupBarrier();
    for (var k = 0u; k < ${DEPTH}u; k++) {
      let x = left[k * ${rowQuads}u + rowQuad];
      let w = right[k * ${columnQuads}u + columnQuad];
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

/** WGSL: the invocations fetch a factor's piece; neighbours read what lies together. */
function load({
  tile,
  name,
  layout,
  first,
  quads,
  workgroup,
}: {
  readonly tile: string;
  readonly name: string;
  readonly layout: Layout;
  readonly first: string;
  readonly quads: number;
  readonly workgroup: number;
}): string {
  const [term, quad] =
    layout === "terms"
      ? [`piece % ${DEPTH}u`, `piece / ${DEPTH}u`]
      : [`piece / ${quads}u`, `piece % ${quads}u`];
  return /* wgsl */ `for (var piece = local; piece < ${DEPTH * quads}u; piece += ${workgroup}u) {
      let term = ${term};
      let quad = ${quad};
      let line = ${first} + 4u * quad;
      ${tile}[term * ${quads}u + quad] = vec4<f32>(
        ${[0, 1, 2, 3].map((i) => `${name}_at(line + ${i}u, start + term)`).join(", ")});
    }`;
}
