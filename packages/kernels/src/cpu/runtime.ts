import { relaxed } from "./generated/relaxed";
import { simd128 } from "./generated/simd128";
import type { Call, Kernels, Pointer } from "./kernels";
import { Memory } from "./memory";
import { chooseBuild, compile, type SimdBuild } from "./module";
import { singleThread, ThreadPool, type Pool } from "./pool";
import { assumedLimits, type MachineLimits } from "./way";
import { clearUpperHalves } from "./upper-halves";
import { threadObstacle } from "./worker-start";

/** What the operations of the CPU device run on: memory, and kernels on one or more threads. */
export class Runtime {
  readonly memory: Memory;
  readonly threads: number;
  readonly #kernels: Kernels;
  readonly #pool: Pool;

  constructor(
    memory: Memory,
    kernels: Kernels,
    pool: Pool,
    /** Why there are fewer threads than wanted. */
    readonly threadsReason: string | undefined,
    readonly simd: SimdBuild,
    /** What ways are chosen by. */
    readonly limits: MachineLimits,
    private readonly wideVectors: boolean,
  ) {
    this.memory = memory;
    this.#kernels = kernels;
    this.threads = pool.threads;
    this.#pool = pool;
  }

  /** Runs independent calls on all threads; returns when they are done. */
  run(calls: readonly Call[]): void {
    this.#pool.run(calls);
    if (this.wideVectors) clearUpperHalves();
  }

  /** Bytes of one panel. */
  panelBytes(storage: number, inputs: number): number {
    return this.#kernels.panelBytes(storage, inputs);
  }

  /** Rows of one panel. */
  panelRows(storage: number): number {
    return this.#kernels.panelRows(storage);
  }

  /** Where the segments of a context of `length` positions begin, and where the last one ends (`assembly/segments.ts`). */
  segmentStarts(length: number): number[] {
    const starts = [0];
    while (starts.at(-1)! < length) starts.push(this.#kernels.segmentEnd(starts.at(-1)!));
    return starts;
  }

  /** Bytes in which a thread works on documents of at most `rows` rows. */
  documentScratchBytes(rows: number, width: number, valueDim: number, backward: boolean): number {
    return this.#kernels.documentScratchBytes(rows, width, valueDim, backward ? 1 : 0);
  }

  /** Whether f16 numbers are within reach of the kernels' 16-bit code. */
  canCode(source: Pointer, count: number): boolean {
    return this.#kernels.canCode(source, count) !== 0;
  }

  destroy(): void {
    this.#pool.destroy();
  }
}

export interface RuntimeOptions {
  /** In bytes. */
  readonly limit: number;
  readonly threads: number;
  readonly simd: SimdBuild | "auto";
  /** Default: `assumedLimits` of the threads there are. */
  readonly limits: MachineLimits | undefined;
  /** Whether the engine uses 256-bit vectors. */
  readonly wideVectors: boolean | undefined;
}

/** Throws `UnsupportedPlatform` without WebAssembly SIMD; without shared memory there is one thread, and a reason. */
export async function createRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { threads } = options;
  const build = chooseBuild(options.simd);
  let reason: string | undefined;
  if (threads > 1) {
    try {
      reason = threadObstacle();
      if (reason === undefined) return await create(build, options, threads, undefined);
    } catch (error) {
      reason = `threads cannot start here: ${String(error)}`;
    }
  }
  return create(build, options, 1, reason);
}

async function create(
  build: SimdBuild,
  { limit, limits, wideVectors = false }: RuntimeOptions,
  threads: number,
  reason: string | undefined,
): Promise<Runtime> {
  const memory = new Memory(limit, threads > 1);
  const module = await compile(build === "relaxed" ? relaxed : simd128, threads > 1);
  const instance = await WebAssembly.instantiate(module, { env: { memory: memory.buffer } });
  const kernels = instance.exports as unknown as Kernels;
  kernels.useWideVectors(wideVectors ? 1 : 0);
  const pool =
    threads > 1
      ? await ThreadPool.start(module, kernels, memory, threads, wideVectors)
      : singleThread(kernels, memory.allocate(kernels.workspaceBytes()));
  const used = limits ?? assumedLimits(threads);
  return new Runtime(memory, kernels, pool, reason, build, used, wideVectors);
}

/** Copies whole numbers into memory. */
export function placeIntegers(
  memory: Memory,
  pointer: Pointer,
  integers: ArrayLike<number>,
): Pointer {
  memory.integers.set(integers, pointer / 4);
  return pointer;
}
