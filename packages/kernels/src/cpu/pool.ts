import { KERNEL_NAMES, type Call, type Kernels, type Pointer } from "./kernels";
import type { Memory } from "./memory";
import { CONTROL, CONTROL_WORDS, RECORD_NUMBERS, RECORDS, type WorkerStart } from "./worker-source";
import { startWorker } from "./worker-start";

/** Runs independent kernel calls and returns when all are done. */
export interface Pool {
  /** Threads that run calls, the caller's included. */
  readonly threads: number;
  /** The calls must not depend on each other; which thread runs which is not defined, and must not matter. */
  run(calls: readonly Call[]): void;
  /** Ends the other threads. */
  destroy(): void;
}

/** Everything on the caller's thread. */
export function singleThread(kernels: Kernels, workspace: Pointer): Pool {
  return {
    threads: 1,
    run: (calls) => {
      for (const [name, ...args] of calls) kernels[name](...args, workspace);
    },
    destroy: () => undefined,
  };
}

/** How often a thread looks for work before it sleeps: about 50 microseconds. */
const SPINS = 12_000;

const numbers = new Map(KERNEL_NAMES.map((name, i) => [name, i]));

/**
 * The caller and `threads - 1` workers over one shared memory. Calls go through a ring of records; every thread takes the
 * next one until none is left, so a thread that the system holds up delays nobody but the call it is in.
 */
export class ThreadPool implements Pool {
  readonly threads: number;
  readonly #kernels: Kernels;
  readonly #workspace: Pointer;
  readonly #control: Int32Array;
  readonly #records: Float64Array;
  readonly #canSleep: boolean;

  private constructor(kernels: Kernels, memory: Memory, threads: number) {
    this.threads = threads;
    this.#kernels = kernels;
    this.#workspace = memory.allocate(kernels.workspaceBytes());
    const control = memory.allocateZeros(4 * CONTROL_WORDS);
    const records = memory.allocate(8 * RECORDS * RECORD_NUMBERS);
    // Growth replaces the buffer object; the old one goes on showing the same memory.
    this.#control = new Int32Array(memory.buffer.buffer, control, CONTROL_WORDS);
    this.#records = new Float64Array(memory.buffer.buffer, records, RECORDS * RECORD_NUMBERS);
    this.#canSleep = canSleep(this.#control);
  }

  /** Rejects if a worker cannot start; those that did end. */
  static async start(
    module: WebAssembly.Module,
    kernels: Kernels,
    memory: Memory,
    threads: number,
    wideVectors: boolean,
  ): Promise<ThreadPool> {
    const pool = new ThreadPool(kernels, memory, threads);
    try {
      const started = Array.from({ length: threads - 1 }, () => {
        const start: WorkerStart = {
          module,
          memory: memory.buffer,
          kernelNames: KERNEL_NAMES,
          wideVectors,
          control: pool.#control.byteOffset,
          records: pool.#records.byteOffset,
          workspace: memory.allocate(kernels.workspaceBytes()),
          spins: SPINS,
          places: CONTROL,
        };
        return startWorker(start);
      });
      await Promise.all(started);
    } catch (error) {
      pool.destroy();
      throw error;
    }
    return pool;
  }

  run(calls: readonly Call[]): void {
    if (calls.length === 1) {
      const [name, ...args] = calls[0]!;
      this.#kernels[name](...args, this.#workspace);
      return;
    }
    for (let i = 0; i < calls.length; i += RECORDS) this.#runSome(calls.slice(i, i + RECORDS));
  }

  destroy(): void {
    const control = this.#control;
    Atomics.store(control, CONTROL.stop, 1);
    // A call that is taken already: whoever is about to sleep sees the change and stays awake.
    Atomics.add(control, CONTROL.taken, 1);
    Atomics.add(control, CONTROL.published, 1);
    Atomics.notify(control, CONTROL.published);
  }

  #runSome(calls: readonly Call[]): void {
    const control = this.#control;
    const records = this.#records;
    const first = Atomics.load(control, CONTROL.published);
    // Loops instead of spreads and closures: this runs hundreds of times per token.
    for (let i = 0; i < calls.length; i++) {
      const call = calls[i]!;
      const r = ((first + i) & (RECORDS - 1)) * RECORD_NUMBERS;
      records[r] = numbers.get(call[0])!;
      records[r + 1] = call.length - 1;
      for (let j = 1; j < call.length; j++) records[r + 1 + j] = call[j] as number;
    }
    const limit = (first + calls.length) | 0;
    Atomics.store(control, CONTROL.published, limit);
    if (Atomics.load(control, CONTROL.sleeping) > 0) Atomics.notify(control, CONTROL.published);

    let ticket = Atomics.load(control, CONTROL.taken);
    while (((limit - ticket) | 0) > 0) {
      const before = Atomics.compareExchange(control, CONTROL.taken, ticket, (ticket + 1) | 0);
      if (before === ticket) {
        const [name, ...args] = calls[(ticket - first) | 0]!;
        this.#kernels[name](...args, this.#workspace);
        Atomics.add(control, CONTROL.finished, 1);
      }
      ticket = Atomics.load(control, CONTROL.taken);
    }
    this.#join(limit);
  }

  #join(limit: number): void {
    const control = this.#control;
    let spins = SPINS;
    for (;;) {
      const finished = Atomics.load(control, CONTROL.finished);
      if (finished === limit) break;
      if (spins-- > 0 || !this.#canSleep) continue;
      Atomics.store(control, CONTROL.mainSleeps, 1);
      Atomics.wait(control, CONTROL.finished, finished);
      Atomics.store(control, CONTROL.mainSleeps, 0);
    }
    if (Atomics.load(control, CONTROL.failed) > 0) throw new Error("A kernel trapped in a worker.");
  }
}

/** A browser's main thread may not wait; it spins instead. */
function canSleep(control: Int32Array): boolean {
  try {
    Atomics.wait(control, CONTROL.finished, 1, 0);
    return true;
  } catch {
    return false;
  }
}
