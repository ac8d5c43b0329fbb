/** Where the numbers of a pool lie in its control block: one cache line (16 words) each, counters that wrap around. */
export const CONTROL = {
  /** Calls published so far; workers wait on it. */
  published: 0,
  /** Calls taken by some thread so far. */
  taken: 16,
  /** Calls finished so far; the main thread waits on it. */
  finished: 32,
  /** Workers that sleep or are about to. */
  sleeping: 48,
  /** 1 while the main thread sleeps or is about to. */
  mainSleeps: 64,
  /** 1 once the workers are to end. */
  stop: 80,
  /** Calls that trapped. */
  failed: 96,
} as const;

export const CONTROL_WORDS = 112;
/** Calls that are published at once at most. A record is a kernel's number, then its arguments. */
export const RECORDS = 1024;
export const RECORD_NUMBERS = 16;

/** What a worker gets. */
export interface WorkerStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly kernelNames: readonly string[];
  readonly wideVectors: boolean;
  readonly control: number;
  readonly records: number;
  readonly workspace: number;
  readonly spins: number;
  readonly places: typeof CONTROL;
}

/**
 * A thread of the pool, as text because it must load without a file of its own. It takes calls one by one until there are
 * none, spins for a while, then sleeps until more are published. Runs in Node's `worker_threads` and in web workers.
 */
export const WORKER_SOURCE = `"use strict";
const work = (start, ready) => {
  const { exports } = new WebAssembly.Instance(start.module, { env: { memory: start.memory } });
  if (start.wideVectors) exports.useWideVectors(1);
  const kernels = start.kernelNames.map((name) => exports[name]);
  const control = new Int32Array(start.memory.buffer, start.control, ${CONTROL_WORDS});
  const records = new Float64Array(start.memory.buffer, start.records, ${RECORDS * RECORD_NUMBERS});
  const { published, taken, finished, sleeping, mainSleeps, stop, failed } = start.places;
  const run = (r) => {
    const args = [];
    const count = records[r + 1];
    for (let i = 0; i < count; i++) args.push(records[r + 2 + i]);
    kernels[records[r]](...args, start.workspace);
  };
  ready();
  for (;;) {
    const ticket = Atomics.load(control, taken);
    const limit = Atomics.load(control, published);
    if (((limit - ticket) | 0) > 0) {
      if (Atomics.compareExchange(control, taken, ticket, (ticket + 1) | 0) !== ticket) continue;
      try {
        run((ticket & ${RECORDS - 1}) * ${RECORD_NUMBERS});
      } catch {
        Atomics.add(control, failed, 1);
      }
      Atomics.add(control, finished, 1);
      if (Atomics.load(control, mainSleeps) === 1) Atomics.notify(control, finished);
      continue;
    }
    if (Atomics.load(control, stop) === 1) return;
    // Without a change since \`limit\` was read there is nothing to do.
    let spins = start.spins;
    while (spins > 0 && Atomics.load(control, published) === limit) spins--;
    if (spins > 0) continue;
    Atomics.add(control, sleeping, 1);
    Atomics.wait(control, published, limit);
    Atomics.sub(control, sleeping, 1);
  }
};
if (typeof WorkerGlobalScope === "undefined") {
  const { parentPort, workerData } = require("node:worker_threads");
  work(workerData, () => parentPort.postMessage("ready"));
} else {
  onmessage = ({ data }) => {
    work(data, () => postMessage("ready"));
    close();
  };
}
`;
