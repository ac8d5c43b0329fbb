import type { Activation } from "@transmla/kernels";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { SIGMOID } from "../../wgsl/functions";
import { reads, writes } from "../../wgsl/kernel";
import { eachKernel, gridOfEach } from "../pointwise";

/** `activate(x)` and its slope, as `vec2`. */
const activations: Readonly<Record<Activation, string>> = {
  silu: /* wgsl */ `
fn activated(x: f32) -> vec2<f32> {
  let s = sigmoid(x);
  return vec2<f32>(x * s, s * (1.0 + x * (1.0 - s)));
}`,
  // x sigmoid(w) with w = 2 sqrt(2 / pi) (x + 0.044715 x^3); beyond 30 the sigmoid is 0 or 1 and its slope is lost in it.
  "gelu-tanh": /* wgsl */ `
fn activated(x: f32) -> vec2<f32> {
  let u = clamp(x, -30.0, 30.0);
  let s = sigmoid(1.5957691216057308 * (u + 0.044715 * u * u * u));
  let inner = 1.5957691216057308 * (1.0 + 0.134145 * u * u);
  return vec2<f32>(x * s, s + u * s * (1.0 - s) * inner);
}`,
};

/** Gradients of `gatedActivation` for `count` numbers. */
export function gatedActivationBackward(
  gpu: Gpu,
  activation: Activation,
  inputs: { readonly gate: Block; readonly up: Block; readonly dy: Block },
  [dGate, dUp]: readonly [Block, Block],
  count: number,
): void {
  const make = () =>
    eachKernel({
      name: `${activation} backward`,
      params: {},
      buffers: {
        gate: reads("f32"),
        up: reads("f32"),
        dy: reads("f32"),
        dGate: writes("f32"),
        dUp: writes("f32"),
      },
      declarations: `${SIGMOID}${activations[activation]}`,
      body: /* wgsl */ `
  let value = activated(gate[i]);
  dGate[i] = dy[i] * up[i] * value.y;
  dUp[i] = dy[i] * value.x;`,
    });
  const { gate, up, dy } = inputs;
  const blocks = [gate, up, dy, dGate, dUp];
  gpu.run(`gated-backward/${activation}`, make, [count], blocks, gridOfEach(count));
}

/** `dx = (1 - (y / cap)^2) dy` */
export function softCapBackward(
  gpu: Gpu,
  { y, dy, dx }: { readonly y: Block; readonly dy: Block; readonly dx: Block },
  cap: number,
  count: number,
): void {
  const make = () =>
    eachKernel({
      name: "soft cap backward",
      params: { cap: "f32" },
      buffers: { y: reads("f32"), dy: reads("f32"), dx: writes("f32") },
      body: "let part = y[i] / params.cap; dx[i] = (1.0 - part * part) * dy[i];",
    });
  gpu.run("soft-cap-backward", make, [count, cap], [y, dy, dx], gridOfEach(count));
}
