import { readFile } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { AT, TASKS } from "../limits/shared.mjs";

const PAGE = 65536;
const STEPS = 2_000_000;

/** Bandwidth and arithmetic of `threads` threads of WebAssembly, on memory beyond the caches. */
export async function start({ wasm, threads, megabytes }) {
  const bytes = await readFile(wasm);
  const size = megabytes * 2 ** 20;
  const memory = new WebAssembly.Memory({ initial: size / PAGE + 1, maximum: 65536, shared: true });
  new Uint8Array(memory.buffer).fill(1);
  const control = new Int32Array(new SharedArrayBuffer(4 * 4));
  // Per thread: first byte and how much, begin and end.
  const spans = new Float64Array(new SharedArrayBuffer(8 * 4 * threads));
  for (let index = 0; index < threads; index++) {
    const workerData = { bytes, memory, control, spans, index, threads };
    new Worker(new URL("../limits/worker.mjs", import.meta.url), { workerData }).unref();
  }
  let rounds = 1;
  await allFinished();

  async function allFinished() {
    for (;;) {
      const finished = Atomics.load(control, AT.finished);
      if (finished === threads * rounds) return;
      await Atomics.waitAsync(control, AT.finished, finished).value;
    }
  }

  /** Seconds from the first thread's start to the last one's end. */
  async function together(task, count) {
    for (let index = 0; index < threads; index++) {
      spans.set([PAGE + index * count, count], 4 * index);
    }
    control[AT.task] = TASKS.indexOf(task);
    rounds++;
    Atomics.add(control, AT.round, 1);
    Atomics.notify(control, AT.round);
    await allFinished();
    const times = (place) =>
      Array.from({ length: threads }, (_, index) => spans[4 * index + place]);
    return (Math.max(...times(3)) - Math.min(...times(2))) / 1e3;
  }

  const tasks = {
    async read() {
      return { seconds: await together("read", size / threads), gigabytes: size / 1e9 };
    },
    async multiplyAdd() {
      const seconds = await together("multiplyAdd", STEPS);
      return { seconds, gflop: (80 * STEPS * threads) / 1e9 };
    },
  };
  return { facts: {}, run: ({ kind }) => tasks[kind]() };
}
