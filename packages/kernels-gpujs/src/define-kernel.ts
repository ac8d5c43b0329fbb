import { KernelsError } from "@transmla/kernels";
import type { CustomKernel, KernelFunction } from "./gpujs-options";

/**
 * An operation written as a plain function, which gpu.js translates for the GPU: it computes the number at row `this.thread.y` and column
 * `this.thread.x` of the result. It may use numbers, `let`, `for`, `if` and `Math`, and nothing from outside itself.
 *
 * @throws KernelsError `InvalidArgument` for something without source text
 */
export function defineKernel(name: string, compute: KernelFunction): CustomKernel {
  if (typeof compute !== "function" || /\[native code\]\s*}$/.test(compute.toString())) {
    throw new KernelsError(
      "InvalidArgument",
      `Kernel "${name}" must be a function with source text.`,
    );
  }
  return Object.freeze({ name, compute });
}
