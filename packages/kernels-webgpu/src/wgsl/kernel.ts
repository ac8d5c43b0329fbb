/** A number that every invocation sees; a member of the uniform `params`. */
export type ParamType = "u32" | "f32";

/** What a kernel reads or writes; a storage buffer under its name. */
export interface BufferUse {
  /** WGSL type of one element. */
  readonly element: string;
  readonly access: "read" | "read_write";
}

export const reads = (element: string): BufferUse => ({ element, access: "read" });
export const writes = (element: string): BufferUse => ({ element, access: "read_write" });

/** A compute shader and what it is called with. */
export interface Kernel {
  /** Distinguishes it from every other kernel of the device. */
  readonly name: string;
  readonly params: Readonly<Record<string, ParamType>>;
  /** Bound in this order. `host` is the arena: `array<u32>` of what the host placed. */
  readonly buffers: Readonly<Record<string, BufferUse>>;
  readonly workgroup: number;
  /** Module scope: constants, functions, workgroup variables. */
  readonly declarations?: string | undefined;
  /**
   * The body of `main`. It sees `index` (the flat index of its workgroup in a grid of `Grid.count`), `local`
   * (the invocation in its workgroup), `workgroup_id`, and with `subgroups` what that extension has.
   */
  readonly body: string;
  readonly subgroups?: boolean | undefined;
}

/** Words of `host` start at the byte offset that a parameter gives, divided by 4. */
export const HOST = "host";

/** The WGSL module of a kernel. */
export function moduleOf(kernel: Kernel): string {
  const { params, buffers, workgroup, declarations = "", body, subgroups } = kernel;
  const members = Object.entries(params).map(([name, type]) => `  ${name}: ${type},`);
  const bindings = Object.entries(buffers).map(
    ([name, { element, access }], i) =>
      `@group(0) @binding(${i + 1}) var<storage, ${access}> ${name}: array<${element}>;`,
  );
  return [
    subgroups ? "enable subgroups;" : "",
    "struct Params {",
    ...members,
    "}",
    "@group(0) @binding(0) var<uniform> params: Params;",
    ...bindings,
    declarations,
    `@compute @workgroup_size(${workgroup})`,
    "fn main(",
    "  @builtin(workgroup_id) workgroup_id: vec3<u32>,",
    "  @builtin(num_workgroups) num_workgroups: vec3<u32>,",
    "  @builtin(local_invocation_index) local: u32,",
    subgroups ? "  @builtin(subgroup_invocation_id) lane: u32," : "",
    ") {",
    "  let index = workgroup_id.x + workgroup_id.y * num_workgroups.x;",
    body,
    "}",
  ].join("\n");
}
