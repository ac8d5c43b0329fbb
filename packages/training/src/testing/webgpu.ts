import { webgpuDevice } from "@transmla/kernels-webgpu";
import { inject } from "vitest";

/** Why there is no WebGPU here; `undefined` where there is. Where a GPU is known to be, its absence is an error. */
export const noWebgpu: string | undefined = await webgpuDevice().then(
  (device) => void device.destroy(),
  (error: Error) => error.message,
);

if (noWebgpu !== undefined) {
  if (inject("gpuRequired")) throw new Error(noWebgpu);
  console.warn(`Skipped: training on WebGPU. ${noWebgpu}`);
}
