import type { TrainingDevice } from "../training-device";
import type { SimdBuild } from "./module";
import type { MachineLimits } from "./way";

export interface CpuDeviceOptions {
  /** The most memory the device may take, in bytes. Default and upper bound: 4 GiB, what WebAssembly can address. */
  readonly memoryLimit?: number | undefined;
  /** Threads that compute, the calling one included: 1 (the default) to 64. */
  readonly threads?: number | undefined;
  /**
   * `relaxed` uses fused multiply-adds where the machine has them: up to a third faster, results differ in the last bits.
   * `auto` (the default) takes it where the engine knows it.
   */
  readonly simd?: SimdBuild | "auto" | undefined;
  /**
   * What the machine can do, measured: the device chooses by it between the absorbed and the expanded way of latent
   * attention, whose results differ in the last bits. Default: fixed numbers, so that results repeat.
   */
  readonly limits?: MachineLimits | undefined;
  /**
   * Say so where V8 joins pairs of 128-bit vectors to 256 bits: with `--experimental-wasm-revectorize`, in Node 24 and later
   * on x86-64. Results stay the same, bit for bit; matrix products get up to twice as fast. V8 leaves the upper halves of
   * registers in use, which makes `Math.exp` and its like ten times slower, so the device then clears them after each operation.
   * Default: false.
   */
  readonly wideVectors?: boolean | undefined;
}

export interface CpuDevice extends TrainingDevice {
  /** Threads in use, the calling one included. */
  readonly threads: number;
  /** Why `threads` is less than was asked for; `undefined` if it is not. */
  readonly threadsReason: string | undefined;
  /** The build of the kernels in use. */
  readonly simd: SimdBuild;
}
