import type { TokenTrace } from "@transmla/models";
import { progressOf, type Operation } from "../operation";
import type { Place } from "../workbench";

/** The trace of a token in one model. */
export interface PlacedTrace extends TokenTrace {
  readonly place: Place;
}

/**
 * Looks at the last of the tokens in every model that is there.
 *
 * @throws PlaygroundError `NoModel`; ModelsError `ContextExceeded`; the signal's reason
 */
export const traceToken: Operation<
  { readonly tokens: readonly number[] },
  readonly PlacedTrace[]
> = async (bench, { tokens }, running) => {
  const { signal } = running;
  const traces: PlacedTrace[] = [];
  for (const place of bench.filled) {
    const { model } = await bench.loaded(place, signal, progressOf("Loading the model", running));
    const onProgress = progressOf("Looking inside", running);
    const trace = await model.trace(Int32Array.from(tokens), { signal, onProgress });
    traces.push({ place, ...trace });
  }
  return traces;
};
