/** How values of all invocations of a workgroup become one. */
const operators = {
  sum: "own + other",
  max: "max(own, other)",
} as const;

/**
 * WGSL: `NAME(local, value) -> f32`, one value of all invocations of a workgroup, the same for each of them, always combined in the
 * same order. To be called by all of them.
 */
export function reduction(name: string, by: keyof typeof operators, workgroup: number): string {
  return /* wgsl */ `
var<workgroup> ${name}_parts: array<f32, ${workgroup}>;
fn ${name}(local: u32, value: f32) -> f32 {
  ${name}_parts[local] = value;
  workgroupBarrier();
  for (var half = ${workgroup / 2}u; half > 0u; half >>= 1u) {
    if (local < half) {
      let own = ${name}_parts[local];
      let other = ${name}_parts[local + half];
      ${name}_parts[local] = ${operators[by]};
    }
    workgroupBarrier();
  }
  let result = ${name}_parts[0];
  workgroupBarrier();
  return result;
}`;
}
