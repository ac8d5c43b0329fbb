import type {
  EventOf,
  Failure,
  FromWorker,
  InputOf,
  OperationName,
  OutputOf,
  ToWorker,
} from "./worker/protocol";

/** What an operation ended with, when it did not end well. */
export class OperationFailed extends Error {
  override readonly name = "OperationFailed";

  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

interface Pending {
  readonly onEvent: (event: never) => void;
  readonly resolve: (output: never) => void;
  readonly reject: (error: OperationFailed) => void;
}

const worker = new Worker(new URL("./worker/main.ts", import.meta.url), { type: "module" });
const pending = new Map<number, Pending>();
let lastId = 0;

worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
  const request = pending.get(data.id);
  if (!request) return;
  if (data.kind === "event") return request.onEvent(data.event as never);
  pending.delete(data.id);
  if (data.kind === "done") request.resolve(data.output as never);
  else request.reject(new OperationFailed(data.failure));
});

worker.addEventListener("error", ({ message }) => {
  const text = `The worker that computes has stopped (${message || "it could not be loaded"}); reload the page.`;
  for (const { reject } of pending.values())
    reject(new OperationFailed({ code: "Unexpected", message: text }));
  pending.clear();
});

const send = (message: ToWorker) => worker.postMessage(message, []);

/** Asks the worker for an operation. Rejects with `OperationFailed`, also when `signal` stopped it. */
export function call<Name extends OperationName>(
  name: Name,
  input: InputOf<Name>,
  options: {
    readonly onEvent?: (event: EventOf<Name>) => void;
    readonly signal?: AbortSignal;
  } = {},
): Promise<OutputOf<Name>> {
  const id = ++lastId;
  options.signal?.addEventListener("abort", () => send({ kind: "abort", id }), { once: true });
  return new Promise((resolve, reject) => {
    pending.set(id, { onEvent: options.onEvent ?? (() => {}), resolve, reject });
    send({ kind: "request", id, name, input });
  });
}
