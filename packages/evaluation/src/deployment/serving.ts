import type { Deployment } from "./deployment";

/** Requests that all arrive at once. */
export interface ServedRequests {
  readonly requests: number;
  /** Tokens of each prompt and each answer. */
  readonly prompt: number;
  readonly answer: number;
}

interface Running {
  /** Tokens in the cache. */
  length: number;
  readonly until: number;
}

/** Tokens that every running sequence gets between two looks at the queue. */
const STRIDE = 16;

/**
 * Seconds of an engine with continuous batching (Kwon et al., vLLM, arXiv 2309.06180) at the roofline: the first request that waits
 * starts as soon as its prompt fits beside what is in the cache; when the cache is full the one that came last gives its place up and
 * starts again later, from what it has.
 */
export function servingSeconds(
  model: Deployment,
  { requests, prompt, answer }: ServedRequests,
): number {
  const total = prompt + answer;
  const room = Math.floor(model.freeBytes / model.cacheBytes(1));
  if (room < total) return Infinity;
  const waiting = Array.from({ length: requests }, () => prompt);
  let running: Running[] = [];
  let seconds = 0;
  while (waiting.length + running.length > 0) {
    const used = () => running.reduce((sum, { length }) => sum + length, 0);
    while (waiting.length > 0 && used() + waiting[0]! + STRIDE * (running.length + 1) <= room) {
      const length = waiting.shift()!;
      seconds += model.promptSeconds(length);
      running.push({ length, until: total });
    }
    while (used() + STRIDE * running.length > room) waiting.unshift(running.pop()!.length);
    const mean = Math.round(used() / running.length);
    seconds += STRIDE * model.decode(running.length, mean).seconds;
    for (const sequence of running) sequence.length += STRIDE;
    running = running.filter(({ length, until }) => length < until);
  }
  return seconds;
}
