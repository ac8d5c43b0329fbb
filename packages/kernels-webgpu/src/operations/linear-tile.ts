import { weightFormats } from "../formats/weight-formats";
import type { Kernel } from "../wgsl/kernel";
import { productFrame, type ProductVariant } from "./linear";

const TILE_OUTPUTS = 64;
/** Inputs that a workgroup holds at a time: two tiles of 64 rows fill the 16 KiB that every adapter has. */
const TILE_INPUTS = 32;

/**
 * Products of many rows: a workgroup holds a piece of `x` and of the weight, widened to float32 once, and each invocation makes 4 x 4
 * results from it.
 */
export function matrixTile(variant: ProductVariant, rows: number) {
  const tileRows = rows <= 16 ? 16 : 64;
  return {
    key: `tile/${tileRows}`,
    tileRows,
    tileOutputs: TILE_OUTPUTS,
    kernel: () => kernel(variant, tileRows),
  };
}

function kernel(variant: ProductVariant, tileRows: number): Kernel {
  const format = weightFormats[variant.storage];
  const { rowCount, ...frame } = productFrame(variant);
  const rowQuads = tileRows / 4;
  const outputQuads = TILE_OUTPUTS / 4;
  const workgroup = rowQuads * outputQuads;
  // Pieces of four rows by four inputs, turned so that an invocation reads four rows of one input at once.
  const pieces = (quads: number) => (quads * TILE_INPUTS) / 4;
  const { scale, shifted } = format;
  const widened =
    scale === "none"
      ? "raw4(row, column)"
      : `scaleOf(row, column).x * raw4(row, column)${shifted ? " + scaleOf(row, column).y" : ""}`;
  return {
    name: `linear ${variant.storage}, tile of ${tileRows}`,
    ...frame,
    workgroup,
    declarations: /* wgsl */ `${frame.declarations}
/** Rows of x, then of the weight: [inputs][quads of rows]. */
var<workgroup> tile: array<vec4<f32>, ${(rowQuads + outputQuads) * TILE_INPUTS}>;`,
    body: /* wgsl */ `
  workgroup_id_z = workgroup_id.z;
  let rows = ${rowCount};
  let block = workgroup_id.z * params.outputs;
  let firstOutput = workgroup_id.x * ${TILE_OUTPUTS}u;
  let firstRow = workgroup_id.y * ${tileRows}u;
  let outputQuad = local % ${outputQuads}u;
  let rowQuad = local / ${outputQuads}u;
  var sum = array<vec4<f32>, 4>();
  for (var start = 0u; start < params.inputs; start += ${TILE_INPUTS}u) {
    for (var piece = local; piece < ${pieces(rowQuads) + pieces(outputQuads)}u; piece += ${workgroup}u) {
      let depth = piece % ${TILE_INPUTS / 4}u;
      let quad = piece / ${TILE_INPUTS / 4}u;
      let column = start + 4u * depth;
      var lines = array<vec4<f32>, 4>();
      // Rows beyond the last are computed from the last and not stored.
      for (var i = 0u; i < 4u && column < params.inputs; i++) {
        if (quad < ${rowQuads}u) {
          lines[i] = x_quad(row_of(min(firstRow + 4u * quad + i, rows - 1u)), column / 4u);
        } else {
          let row = block + min(firstOutput + 4u * (quad - ${rowQuads}u) + i, params.outputs - 1u);
          lines[i] = ${widened};
        }
      }
      for (var k = 0u; k < 4u; k++) {
        tile[(4u * depth + k) * ${rowQuads + outputQuads}u + quad] =
          vec4<f32>(lines[0][k], lines[1][k], lines[2][k], lines[3][k]);
      }
    }
    workgroupBarrier();
    for (var k = 0u; k < ${TILE_INPUTS}u; k++) {
      let x4 = tile[k * ${rowQuads + outputQuads}u + rowQuad];
      let w4 = tile[k * ${rowQuads + outputQuads}u + ${rowQuads}u + outputQuad];
      for (var i = 0u; i < 4u; i++) { sum[i] = fma(vec4<f32>(x4[i]), w4, sum[i]); }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < 4u; i++) {
    for (var o = 0u; o < 4u; o++) {
      let row = firstRow + 4u * rowQuad + i;
      let output = firstOutput + 4u * outputQuad + o;
      if (row < rows && output < params.outputs) { store(row, output, sum[i][o]); }
    }
  }`,
  };
}
