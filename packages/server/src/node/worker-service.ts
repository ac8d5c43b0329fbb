import { Worker } from "node:worker_threads";
import type { EngineLoad, TextEvent, TextRequest } from "@transmla/generation";
import { ServerError } from "../errors";
import type { ServedModel, TextAnswer, TextService } from "../service";
import { AsyncQueue } from "./async-queue";
import { revivedError, unreadEvents, type FromWorker, type ToWorker } from "./messages";

export interface WorkerServiceOptions {
  /** For the module's `runInWorker`: what it should load. Plain data. */
  readonly data?: unknown;
  readonly onProgress?: ((progress: unknown) => void) | undefined;
  /** Told when the worker stops by itself after it was ready. */
  readonly onFailure?: ((error: unknown) => void) | undefined;
  /** Aborting stops the start; afterwards it does nothing. */
  readonly signal?: AbortSignal | undefined;
}

/** A service in a thread of its own, so that requests are answered while the model computes. */
export interface WorkerService extends TextService {
  /** Ends all runs and the thread. */
  close(): Promise<void>;
}

/**
 * Starts a module that calls `runInWorker` in a worker thread and resolves when its model is ready.
 * @throws what the module's start threw, with the same `code`; ServerError `ServiceDown`; the signal's reason
 */
export async function workerService(
  module: URL,
  { data, onProgress, onFailure, signal }: WorkerServiceOptions = {},
): Promise<WorkerService> {
  signal?.throwIfAborted();
  const worker = new Worker(module, { workerData: data });
  const stop = () => void worker.terminate();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await new Promise<WorkerService>((resolve, reject) => {
      let service: RemoteService | undefined;
      const down = (error: unknown) => (service ? service.down(error) : reject(error as Error));
      worker.once("error", down);
      worker.once("exit", (code) => down(signal?.reason ?? stopped(code)));
      worker.on("message", (message: FromWorker) => {
        if (service) service.receive(message);
        else if (message.type === "progress") onProgress?.(message.progress);
        else if (message.type === "failed") reject(revivedError(message.error));
        else if (message.type === "ready") {
          service = new RemoteService(worker, message.model, message.load, onFailure);
          resolve(service);
        }
      });
    });
  } catch (error) {
    await worker.terminate();
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

function stopped(code: number): ServerError {
  return new ServerError("ServiceDown", `The worker stopped with exit code ${code}.`, { code });
}

/** A run as this thread sees it. */
interface OpenRun {
  readonly events: AsyncQueue<TextEvent>;
  accept(answer: TextAnswer): void;
  refuse(error: unknown): void;
  /** Forgets it; the worker may still have to be told. */
  forget(): void;
}

class RemoteService implements WorkerService {
  failure: string | undefined;
  private readonly runs = new Map<number, OpenRun>();
  private nextRun = 1;
  private closing = false;

  constructor(
    private readonly worker: Worker,
    readonly model: ServedModel,
    public load: EngineLoad,
    private readonly onFailure: ((error: unknown) => void) | undefined,
  ) {}

  submit(request: TextRequest, signal: AbortSignal): Promise<TextAnswer> {
    if (this.failure !== undefined)
      return Promise.reject(new ServerError("ServiceDown", this.failure));
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    const run = this.nextRun++;
    let unconfirmed = 0;
    const confirm = () => {
      if (++unconfirmed < unreadEvents / 4) return;
      this.send({ type: "read", run, events: unconfirmed });
      unconfirmed = 0;
    };
    const cancel = () => {
      if (!this.runs.has(run)) return;
      this.send({ type: "cancel", run });
      this.runs.get(run)!.refuse(signal.reason);
    };
    return new Promise<TextAnswer>((accept, reject) => {
      const events = new AsyncQueue<TextEvent>(confirm, cancel);
      const forget = () => {
        signal.removeEventListener("abort", cancel);
        this.runs.delete(run);
      };
      const refuse = (error: unknown) => {
        forget();
        events.fail(error);
        reject(error as Error);
      };
      this.runs.set(run, { events, accept, refuse, forget });
      signal.addEventListener("abort", cancel, { once: true });
      this.send({ type: "submit", run, request });
    });
  }

  async close(): Promise<void> {
    this.closing = true;
    const exited = new Promise<void>((resolve) => void this.worker.once("exit", () => resolve()));
    this.send({ type: "close" });
    await exited;
  }

  receive(message: FromWorker): void {
    if (message.type === "load") this.load = message.load;
    if (!("run" in message) || message.run === undefined) return;
    const run = this.runs.get(message.run);
    // A run that was cancelled here may still have been on its way.
    if (!run) return;
    if (message.type === "accepted") {
      const { promptTokens } = message;
      const { events } = run;
      run.accept({ promptTokens, [Symbol.asyncIterator]: () => events[Symbol.asyncIterator]() });
    } else if (message.type === "event") {
      run.events.push(message.event);
    } else if (message.type === "failed") {
      run.refuse(revivedError(message.error));
    } else {
      run.forget();
      run.events.close();
    }
  }

  /** The worker has stopped. */
  down(error: unknown): void {
    if (this.failure !== undefined) return;
    this.failure = "What runs the model has stopped.";
    this.load = { ...this.load, running: 0, waiting: 0, reservedTokens: 0 };
    for (const run of this.runs.values()) run.refuse(new ServerError("ServiceDown", this.failure));
    if (!this.closing) this.onFailure?.(error);
  }

  private send(message: ToWorker): void {
    this.worker.postMessage(message, []);
  }
}
