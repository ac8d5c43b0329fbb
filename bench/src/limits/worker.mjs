import { workerData } from "node:worker_threads";
import { AT, TASKS } from "./shared.mjs";

/** One of the threads of `contenders/limits.mjs`: waits for a round, begins with the others, notes when it began and ended. */
const { bytes, memory, control, spans, index, threads } = workerData;
const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
const clock = () => performance.timeOrigin + performance.now();

for (let round = 0; ; round++) {
  Atomics.add(control, AT.finished, 1);
  Atomics.notify(control, AT.finished);
  Atomics.wait(control, AT.round, round);
  const [from, count] = spans.subarray(4 * index);
  const run = instance.exports[TASKS[control[AT.task]]];
  Atomics.add(control, AT.begun, 1);
  while (Atomics.load(control, AT.begun) < threads * (round + 1));
  spans[4 * index + 2] = clock();
  if (run.length === 1) run(count);
  else run(from, count);
  spans[4 * index + 3] = clock();
}
