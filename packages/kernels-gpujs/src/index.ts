export { defineKernel } from "./define-kernel";
export { gpujsDevice } from "./gpujs-device";
export type {
  CustomKernel,
  GpujsDevice,
  GpujsDeviceOptions,
  GpujsMode,
  KernelFunction,
  KernelThis,
} from "./gpujs-options";
