import type { Device, Shape, Tensor } from "@transmla/kernels";

/** Modes of gpu.js: `async` takes the best that is there. */
export type GpujsMode = "async" | "webgpu" | "webgl2" | "webgl" | "webasm" | "cpu";

export interface GpujsDeviceOptions {
  /** Default `async`. */
  readonly mode?: GpujsMode | undefined;
  /** The most bytes that weights, caches and tensors take together, all of them float32. Default 64 GiB. */
  readonly memoryLimit?: number | undefined;
}

/** `this` of a kernel: the place of the number that is computed. */
export interface KernelThis {
  readonly thread: { readonly x: number; readonly y: number; readonly z: number };
}

/** A tensor within a kernel, `x[row][column]`; a list of numbers, `x[i]`. */
// oxlint-disable-next-line typescript/no-explicit-any -- gpu.js gives every argument its type when the kernel is called.
export type KernelFunction = (this: KernelThis, ...args: any[]) => number;

/** An operation of one's own; made by `defineKernel`. */
export interface CustomKernel {
  readonly name: string;
  readonly compute: KernelFunction;
}

export interface GpujsDevice extends Device {
  /** What gpu.js runs on: `webgpu`, `webgl2`, `webasm`, `cpu`; known once something was read. */
  readonly backend: string | undefined;
  /**
   * Runs an operation of one's own: `compute` is called for every number of a tensor of `shape`. Tensors arrive as `x[row][column]`, lists
   * of numbers as `x[i]`, single numbers as lists of one.
   *
   * @throws KernelsError `ShapeMismatch` without arguments or for a shape that is none, `Released`, `ForeignResource`
   */
  run(
    kernel: CustomKernel,
    args: readonly (Tensor | Float32Array | Int32Array | number)[],
    shape: Shape,
  ): Tensor;
}
