export type * from "./device";
export { KernelsError, type KernelsErrorCode } from "./errors";
export { ropeTable } from "./rope-table";
export { referenceDevice } from "./reference/reference-device";
export { cpuDevice, type CpuDevice, type CpuDeviceOptions } from "./cpu/cpu-device";
/** Checks, handles and scopes for those who write a device of their own. */
export * as deviceKit from "./device-kit";
