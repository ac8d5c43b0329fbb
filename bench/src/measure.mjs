import { setTimeout as pause } from "node:timers/promises";
import { Incorrect } from "./contender.mjs";

/** Long enough for the thread pools of the contender before to stop spinning. */
const SETTLE_MS = 25;

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Rounds that are run however long they take. */
const LEAST_ROUNDS = 3;
/** No further round begins after this time, so that a busy machine delays the bench only so much. */
const BUDGET_SECONDS = 45;

/**
 * Runs one task on every contender in turn, at most `repetitions` times, after one unmeasured round. Turns are interleaved and start
 * at another contender each round, so that whatever else the machine does hits all of them alike.
 *
 * @param contenders a map from names to what `openContenders` returned
 * @param taskOf what to run: one task, or a function from a contender's name to its task
 * @returns {Promise<Map<string, Result>>} per name `{ seconds, best, runs, extra }` or `{ missing }`;
 *   a contender that fails drops out
 */
export async function interleave(contenders, taskOf, { repetitions, warmups = 1, progress }) {
  const task = (name) => (typeof taskOf === "function" ? taskOf(name) : taskOf);
  const names = [...contenders.keys()];
  const results = new Map();
  const present = [];
  for (const name of names) {
    const { missing } = contenders.get(name);
    if (missing) results.set(name, { missing });
    else present.push(name);
  }
  const runs = new Map(present.map((name) => [name, []]));
  const started = performance.now();
  for (let round = -warmups; round < repetitions; round++) {
    if (round >= LEAST_ROUNDS && performance.now() - started > 1e3 * BUDGET_SECONDS) break;
    progress?.(round < 0 ? "warming up" : `round ${round + 1} of ${repetitions}`);
    for (let turn = 0; turn < present.length; turn++) {
      const name = present[(turn + Math.max(round, 0)) % present.length];
      if (results.has(name)) continue;
      await pause(SETTLE_MS);
      try {
        const outcome = await contenders.get(name).run(task(name));
        if (round >= 0) runs.get(name).push(outcome);
      } catch (error) {
        if (error instanceof Incorrect) throw error;
        results.set(name, { missing: error.message });
      }
    }
  }
  for (const name of present) {
    if (!results.has(name)) results.set(name, summary(runs.get(name)));
  }
  return results;
}

/** `seconds` is the median, `best` the shortest; `extra` holds what else the last run returned. */
export function summary(outcomes) {
  const seconds = outcomes.map((outcome) => outcome.seconds);
  const { seconds: _, ...extra } = outcomes.at(-1);
  return { seconds: median(seconds), best: Math.min(...seconds), runs: seconds, extra };
}

/** The quickest of several results by its median; a missing one only if all are. */
export function quickest(results, names) {
  let choice;
  for (const name of names) {
    const result = results.get(name);
    if (!result.missing && !(choice?.seconds <= result.seconds)) choice = { ...result, name };
  }
  return choice ?? { ...results.get(names[0]), name: names[0] };
}
