export type * from "./device";
export type * from "./training-device";
export type { Routing } from "./routing";
export { KernelsError, kernelsErrors, type KernelsErrorCode } from "./errors";
export { ropeTable } from "./rope-table";
export { referenceDevice } from "./reference/reference-device";
export { cpuDevice } from "./cpu/cpu-device";
export { cpuMemoryBytes } from "./cpu/memory-needs";
export type { CpuDevice, CpuDeviceOptions } from "./cpu/cpu-options";
export { assumedLimits, type MachineLimits } from "./cpu/way";
/** Checks, handles and scopes for those who write a device of their own. */
export * as deviceKit from "./device-kit";
