import type { MachineLimits } from "@transmla/kernels";
import type { WebgpuStatistics } from "../webgpu-options";
import type { Kernel } from "../wgsl/kernel";
import { BufferPool, type Block, type BufferLimits } from "./buffer-pool";
import { Failures } from "./failures";
import { Programs } from "./programs";
import { Recorder, type Grid } from "./recorder";

/** A GPU as operations see it: memory, compiled kernels, and a place to put commands. */
export class Gpu {
  readonly statistics: WebgpuStatistics = {
    submissions: 0,
    dispatches: 0,
    bytesRead: 0,
    buffersCreated: 0,
    bindGroupsCreated: 0,
  };
  readonly failures: Failures;
  readonly pool: BufferPool;
  readonly recorder: Recorder;
  readonly #programs: Programs;

  constructor(
    readonly device: GPUDevice,
    limits: BufferLimits,
    readonly machine: MachineLimits,
    readonly subgroupSize: number | undefined,
  ) {
    this.failures = new Failures(device);
    this.pool = new BufferPool(device, limits, this.statistics);
    this.recorder = new Recorder(device, this.statistics);
    this.#programs = new Programs(device);
  }

  /** Runs the kernel of `key`, which `make` makes once. See `Recorder.run`. */
  run(
    key: string,
    make: () => Kernel,
    params: readonly number[],
    buffers: readonly Block[],
    grid: Grid,
  ): void {
    this.recorder.run(this.#programs.get(key, make), params, buffers, grid);
  }

  /** A buffer for activations. @throws KernelsError `OutOfMemory` */
  take(bytes: number): Block {
    return this.pool.take(bytes, () => this.trim());
  }

  /** Hands out buffers that are given back when `body` has recorded its commands. */
  temporarily<Result>(body: (take: (bytes: number) => Block) => Result): Result {
    const taken: Block[] = [];
    try {
      return body((bytes) => {
        const block = this.take(bytes);
        taken.push(block);
        return block;
      });
    } finally {
      for (const block of taken) this.pool.release(block);
    }
  }

  /** Frees a buffer that does not come from `take`. */
  destroy(block: Block): void {
    this.settle(block);
    this.recorder.forget();
    this.pool.destroy(block);
  }

  /** Submits the commands that name a block, so that it can be written or freed by the host. */
  settle(block: Block): void {
    if (block.usedIn === this.recorder.batch) this.recorder.flush();
  }

  /** Frees the buffers that were kept for later. */
  trim(): void {
    this.recorder.flush();
    this.recorder.forget();
    this.pool.trim();
  }
}
