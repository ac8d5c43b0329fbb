import type { AdamW } from "@transmla/kernels";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { ROUNDING } from "../../wgsl/halves";
import { reads, writes } from "../../wgsl/kernel";
import { eachKernel, gridOfEach } from "../pointwise";

/** `to += factor * x` */
export function addScaled(gpu: Gpu, to: Block, x: Block, factor: number, count: number): void {
  // One buffer cannot be read as one thing and written as another.
  if (to === x) return scale(gpu, to, 1 + factor, count);
  const make = () =>
    eachKernel({
      name: "add scaled",
      params: { factor: "f32" },
      buffers: { x: reads("f32"), to: writes("f32") },
      body: "to[i] = fma(params.factor, x[i], to[i]);",
    });
  gpu.run("add-scaled", make, [count, factor], [x, to], gridOfEach(count));
}

function scale(gpu: Gpu, to: Block, factor: number, count: number): void {
  const make = () =>
    eachKernel({
      name: "scale",
      params: { factor: "f32" },
      buffers: { to: writes("f32") },
      body: "to[i] *= params.factor;",
    });
  gpu.run("scale", make, [count, factor], [to], gridOfEach(count));
}

/** `to = value` everywhere. */
export function fill(gpu: Gpu, to: Block, value: number, count: number): void {
  const make = () =>
    eachKernel({
      name: "fill",
      params: { value: "f32" },
      buffers: { to: writes("f32") },
      body: "to[i] = params.value;",
    });
  gpu.run("fill", make, [count, value], [to], gridOfEach(count));
}

/** `x` rounded to bfloat16. */
export function roundToBf16(gpu: Gpu, x: Block, y: Block, count: number): void {
  const make = () =>
    eachKernel({
      name: "round to bf16",
      params: {},
      buffers: { x: reads("f32"), y: writes("f32") },
      declarations: ROUNDING,
      body: "y[i] = bitcast<f32>(toBfloat16(x[i]) << 16u);",
    });
  gpu.run("round-to-bf16", make, [count], [x, y], gridOfEach(count));
}

/** The tensors of a step of AdamW. */
export interface AdamWBlocks {
  readonly parameter: Block;
  readonly gradient: Block;
  readonly firstMoment: Block;
  readonly secondMoment: Block;
}

/** One step of AdamW; what does not differ from number to number is worked out in float64. */
export function adamW(gpu: Gpu, update: AdamW, blocks: AdamWBlocks, count: number): void {
  const make = () =>
    eachKernel({
      name: "adamw",
      params: {
        rate: "f32",
        beta1: "f32",
        rest1: "f32",
        beta2: "f32",
        rest2: "f32",
        inverseSecond: "f32",
        epsilon: "f32",
        kept: "f32",
        gradientFactor: "f32",
      },
      buffers: {
        gradient: reads("f32"),
        parameter: writes("f32"),
        firsts: writes("f32"),
        seconds: writes("f32"),
      },
      body: /* wgsl */ `
  let g = params.gradientFactor * gradient[i];
  let m = params.beta1 * firsts[i] + params.rest1 * g;
  let v = params.beta2 * seconds[i] + params.rest2 * g * g;
  firsts[i] = m;
  seconds[i] = v;
  parameter[i] = params.kept * parameter[i] -
    params.rate * m / (sqrt(v * params.inverseSecond) + params.epsilon);`,
    });
  const { step, rate, beta1, beta2, epsilon, decay, gradientFactor } = update;
  const params = [
    count,
    rate / (1 - beta1 ** step),
    beta1,
    1 - beta1,
    beta2,
    1 - beta2,
    1 / (1 - beta2 ** step),
    epsilon,
    1 - rate * decay,
    gradientFactor,
  ];
  const { parameter, gradient, firstMoment, secondMoment } = blocks;
  const order = [gradient, parameter, firstMoment, secondMoment];
  gpu.run("adamw", make, params, order, gridOfEach(count));
}
