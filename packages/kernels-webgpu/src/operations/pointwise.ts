import type { Activation } from "@transmla/kernels";
import type { Block } from "../runtime/buffer-pool";
import type { Gpu } from "../runtime/gpu";
import type { Grid } from "../runtime/recorder";
import { SIGMOID, TANH } from "../wgsl/functions";
import { reads, writes, type Kernel } from "../wgsl/kernel";

const WORKGROUP = 64;

/** A kernel with one invocation for each of `params.count` things; the body sees which as `i`. */
export function eachKernel(kernel: Omit<Kernel, "workgroup">): Kernel {
  return {
    ...kernel,
    params: { count: "u32", ...kernel.params },
    workgroup: WORKGROUP,
    body: /* wgsl */ `
  let i = index * ${WORKGROUP}u + local;
  if (i >= params.count) { return; }
  ${kernel.body}`,
  };
}

/** Workgroups of an `eachKernel` for `count` things. */
export const gridOfEach = (count: number) => ({ count: Math.ceil(count / WORKGROUP) });

/** What is computed for every number alone: `x`, and `z` where there are two inputs, are `vec4<f32>`. */
interface Pointwise {
  readonly expression: string;
  readonly declarations?: string;
}

const pointwise = {
  add: { expression: "x + z" },
  silu: {
    expression: "vec4<f32>(silu(x.x), silu(x.y), silu(x.z), silu(x.w)) * z",
    declarations: `${SIGMOID}
fn silu(x: f32) -> f32 { return x * sigmoid(x); }`,
  },
  // 1 + tanh(u) is 2 sigmoid(2u), which keeps its precision where tanh is near -1.
  "gelu-tanh": {
    expression: "vec4<f32>(gelu(x.x), gelu(x.y), gelu(x.z), gelu(x.w)) * z",
    declarations: `${SIGMOID}
fn gelu(x: f32) -> f32 {
  let u = clamp(x, -30.0, 30.0);
  return x * sigmoid(1.5957691216057308 * (u + 0.044715 * u * u * u));
}`,
  },
  cap: {
    expression: `params.cap * vec4<f32>(
      hyperbolicTangent(x.x / params.cap), hyperbolicTangent(x.y / params.cap),
      hyperbolicTangent(x.z / params.cap), hyperbolicTangent(x.w / params.cap))`,
    declarations: TANH,
  },
} as const satisfies Readonly<Record<string, Pointwise>>;

/** `count` numbers of `y` from those of the inputs. Buffers are padded to four numbers, so the last four may be computed whole. */
function compute(
  gpu: Gpu,
  name: keyof typeof pointwise,
  inputs: readonly Block[],
  y: Block,
  count: number,
  { cap, grid }: { readonly cap?: number; readonly grid?: Grid | undefined } = {},
): void {
  const operation: Pointwise = pointwise[name];
  const quads = Math.ceil(count / 4);
  const two = inputs.length === 2;
  const make = () =>
    eachKernel({
      name,
      params: cap === undefined ? {} : { cap: "f32" },
      buffers: {
        xs: reads("vec4<f32>"),
        ...(two ? { zs: reads("vec4<f32>") } : {}),
        ys: writes("vec4<f32>"),
      },
      ...(operation.declarations ? { declarations: operation.declarations } : {}),
      body: `let x = xs[i]; ${two ? "let z = zs[i];" : ""} ys[i] = ${operation.expression};`,
    });
  const params = cap === undefined ? [quads] : [quads, cap];
  gpu.run(`pointwise/${name}`, make, params, [...inputs, y], grid ?? gridOfEach(quads));
}

export function add(gpu: Gpu, a: Block, b: Block, y: Block, count: number): void {
  compute(gpu, "add", [a, b], y, count);
}

/** `y = activation(gate) * up`. @param grid where only the GPU knows how many of the numbers there are */
export function gatedActivation(
  gpu: Gpu,
  gate: Block,
  up: Block,
  activation: Activation,
  y: Block,
  count: number,
  grid?: Grid,
): void {
  compute(gpu, activation, [gate, up], y, count, { grid });
}

export function softCap(gpu: Gpu, x: Block, cap: number, y: Block, count: number): void {
  compute(gpu, "cap", [x], y, count, { cap });
}
