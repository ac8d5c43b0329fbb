/**
 * WGSL: `NAME_quad(row, quad) -> vec4<f32>`, numbers `4 quad … 4 quad + 3` of a row of `columns` numbers of the float32 matrix that is
 * bound as `NAME`; zero beyond the row. Rows that 4 divides are read at once.
 */
export function rowReader(name: string, columns: string, aligned: boolean): string {
  if (aligned) {
    return `fn ${name}_quad(row: u32, quad: u32) -> vec4<f32> { return ${name}[row * (${columns} / 4u) + quad]; }`;
  }
  return /* wgsl */ `
fn ${name}_quad(row: u32, quad: u32) -> vec4<f32> {
  let at = row * ${columns} + quad * 4u;
  let left = ${columns} - quad * 4u;
  var value = vec4<f32>(${name}[at], 0.0, 0.0, 0.0);
  if (left > 1u) { value.y = ${name}[at + 1u]; }
  if (left > 2u) { value.z = ${name}[at + 2u]; }
  if (left > 3u) { value.w = ${name}[at + 3u]; }
  return value;
}`;
}

/** Element type of a float32 matrix for `rowReader`. */
export const rowElement = (aligned: boolean): string => (aligned ? "vec4<f32>" : "f32");
