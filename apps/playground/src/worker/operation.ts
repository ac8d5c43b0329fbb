import type { Workbench } from "./workbench";

/** How an operation reports and is stopped while it runs. */
export interface Running<Event> {
  readonly emit: (event: Event) => void;
  readonly signal: AbortSignal;
}

/** Something the page may ask the worker for. Input, output and events are plain data that can be posted. */
export type Operation<Input, Output, Event = Progress> = (
  bench: Workbench,
  input: Input,
  running: Running<Event>,
) => Promise<Output>;

/** How far a long operation is: `done` of `total` units of the step named by `label`. */
export interface Progress {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}

/** Passes on the progress of a package's function under a name. */
export function progressOf<Event>(
  label: string,
  { emit }: Running<Event | Progress>,
): (progress: { done: number; total: number; unit: string }) => void {
  return ({ done, total, unit }) => emit({ label, done, total, unit });
}
