import { inject } from "vitest";
import { openAdapter } from "./open-gpu";
import { webgpuDevice } from "./webgpu-device";
import type { WebgpuDeviceOptions } from "./webgpu-options";

declare module "vitest" {
  interface ProvidedContext {
    /** Where a GPU is known to be, a test that finds none fails instead of being skipped. */
    readonly gpuRequired: boolean;
  }
}

/** Why there is no WebGPU here; `undefined` where there is. */
export const noWebgpu: string | undefined = await openAdapter({}).then(
  () => undefined,
  (error: Error) => error.message,
);

if (noWebgpu !== undefined) {
  if (inject("gpuRequired"))
    throw new Error(`There should be a GPU here, if only in software. ${noWebgpu}`);
  console.warn(`Skipped: tests of the WebGPU device. ${noWebgpu}`);
}

/** A device, and the GPU's own beneath it, to be disturbed. @param limits smaller than the adapter's */
export async function openedDevice(
  options: WebgpuDeviceOptions = {},
  limits: Partial<Record<"maxBufferSize" | "maxStorageBufferBindingSize", number>> = {},
) {
  const real = await openAdapter({});
  let raw: GPUDevice | undefined;
  const { maxBufferSize, maxStorageBufferBindingSize } = real.limits;
  const adapter = {
    features: real.features,
    info: real.info,
    limits: { maxBufferSize, maxStorageBufferBindingSize, ...limits },
    requestDevice: async (descriptor: GPUDeviceDescriptor) =>
      (raw = await real.requestDevice(descriptor)),
  } as unknown as GPUAdapter;
  const device = await webgpuDevice({ ...options, adapter });
  return { device, raw: raw! };
}

/** `sin(seed + 0.7 i²)`: numbers without a pattern. */
export function numbers(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => Math.sin(seed + 0.7 * i * i));
}

/** The largest difference of two results, relative to the largest number of the second. */
export async function difference(
  actual: Promise<Float32Array>,
  expected: Promise<Float32Array>,
): Promise<number> {
  const [a, b] = await Promise.all([actual, expected]);
  const largest = b.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0) / largest;
}
