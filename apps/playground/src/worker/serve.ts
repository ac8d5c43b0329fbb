import { describeFailure } from "./failure";
import { operations } from "./operations";
import type { Operation } from "./operation";
import type { FromWorker, ToWorker } from "./protocol";
import type { Workbench } from "./workbench";

/** Serves requests one after the other: two operations never share the device. */
export function serve(bench: Workbench, send: (message: FromWorker) => void) {
  const aborts = new Map<number, AbortController>();
  let last: Promise<void> = Promise.resolve();

  async function run(message: ToWorker & { kind: "request" }, signal: AbortSignal): Promise<void> {
    const { id, name, input } = message;
    try {
      signal.throwIfAborted();
      const operation = operations[name] as Operation<unknown, unknown, unknown>;
      const emit = (event: unknown) => send({ kind: "event", id, event });
      const output = await operation(bench, input, { emit, signal });
      send({ kind: "done", id, output });
    } catch (error) {
      send({ kind: "failed", id, failure: describeFailure(error, signal) });
    } finally {
      aborts.delete(id);
    }
  }

  return (message: ToWorker): void => {
    if (message.kind === "abort") return aborts.get(message.id)?.abort();
    const abort = new AbortController();
    aborts.set(message.id, abort);
    last = last.then(() => run(message, abort.signal));
  };
}
