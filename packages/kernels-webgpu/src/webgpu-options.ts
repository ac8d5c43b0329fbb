import type { MachineLimits, TimedDevice, TrainingDevice } from "@transmla/kernels";

export interface WebgpuDeviceOptions {
  /** Where adapters come from. Default: the browser's `navigator.gpu`; in Node the optional package `webgpu`. */
  readonly gpu?: GPU | undefined;
  /** The adapter to use. Default: the one that `gpu` gives for `powerPreference`. */
  readonly adapter?: GPUAdapter | undefined;
  /** Default `high-performance`. */
  readonly powerPreference?: GPUPowerPreference | undefined;
  /**
   * The most bytes that weights, caches and activations take together. WebGPU does not say how much memory there is: give what
   * may be used, so that what does not fit is refused before it is loaded. Default 256 GiB.
   */
  readonly memoryLimit?: number | undefined;
  /** Use subgroup operations where the adapter has them (default true). */
  readonly subgroups?: boolean | undefined;
  /**
   * What the GPU can do: the device chooses by it between the absorbed and the expanded way of latent attention. Default: fixed
   * numbers, so that results repeat.
   */
  readonly limits?: MachineLimits | undefined;
}

/** Work that a device has done so far. */
export interface WebgpuStatistics {
  /** Command buffers submitted. */
  submissions: number;
  /** Kernels started. */
  dispatches: number;
  /** Bytes copied back to the host. */
  bytesRead: number;
  buffersCreated: number;
  bindGroupsCreated: number;
}

export interface WebgpuDevice extends TimedDevice, TrainingDevice {
  /** Vendor, architecture and description of the adapter, as far as it tells. */
  readonly adapter: string;
  /** Invocations in a subgroup, where subgroup operations are used. */
  readonly subgroupSize: number | undefined;
  readonly statistics: Readonly<WebgpuStatistics>;
  /** Bytes that weights, caches and live tensors take. */
  readonly usedBytes: number;
}
