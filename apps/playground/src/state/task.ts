import { signal } from "@preact/signals";
import { OperationFailed } from "../client";
import type { Progress } from "../worker/operation";
import type { Failure } from "../worker/protocol";
import { StepClock } from "./step-clock";

/** What the worker is doing. */
export interface Task {
  readonly label: string;
  readonly progress?: Progress | undefined;
  /** Estimate of the seconds that the step still takes, from the part that is done. */
  readonly remaining?: number | undefined;
  readonly stop: () => void;
}

export const task = signal<Task | undefined>(undefined);

/** The last failure, until it is put away or something else begins. */
export const problem = signal<Failure | undefined>(undefined);

/** How a task runs: `onProgress` takes whatever events have a label. */
export interface TaskRun {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

/**
 * Runs a task that the user can see and stop; a failure becomes the page's problem. One at a time: undefined, and nothing done, while
 * another runs.
 */
export async function runTask<Value>(
  label: string,
  body: (run: TaskRun) => Promise<Value>,
): Promise<Value | undefined> {
  if (task.value) return undefined;
  const abort = new AbortController();
  const stop = () => abort.abort();
  const clock = new StepClock();
  problem.value = undefined;
  task.value = { label, stop };
  const onProgress = (progress: Progress) => {
    task.value = { label, progress, remaining: clock.remaining(progress), stop };
  };
  try {
    return await body({ signal: abort.signal, onProgress });
  } catch (error) {
    const failure = failureOf(error);
    if (failure.code !== "Aborted") problem.value = failure;
    return undefined;
  } finally {
    task.value = undefined;
  }
}

function failureOf(error: unknown): Failure {
  if (error instanceof OperationFailed) return error.failure;
  if (error instanceof DOMException && error.name === "AbortError") {
    return { code: "Aborted", message: "Stopped." };
  }
  return { code: "Unexpected", message: error instanceof Error ? error.message : String(error) };
}
