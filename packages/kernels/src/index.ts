export type * from "./device";
export { KernelsError, type KernelsErrorCode } from "./errors";
export { ropeTable } from "./rope-table";
export { referenceDevice } from "./reference/reference-device";
export { cpuDevice, type CpuDeviceOptions } from "./cpu/cpu-device";
