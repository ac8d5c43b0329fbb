export { webgpuDevice } from "./webgpu-device";
export type { WebgpuDevice, WebgpuDeviceOptions, WebgpuStatistics } from "./webgpu-options";
