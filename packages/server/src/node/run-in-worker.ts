import { parentPort, workerData, type MessagePort } from "node:worker_threads";
import type { EngineLoad, TextEngine } from "@transmla/generation";
import { ServerError } from "../errors";
import { plainError, unreadEvents, type FromWorker, type ToWorker } from "./messages";

/** What a worker's start gives. */
export interface WorkerModel {
  readonly engine: TextEngine;
  readonly id: string;
  readonly contextTokens: number;
  /** Frees what was loaded, after the last run has ended. */
  close(): Promise<void>;
}

/** Milliseconds between two looks at how busy the engine is. */
const loadInterval = 200;

/**
 * The whole of a worker module: loads a model as `data` says and serves it to the thread that started the worker.
 *
 *     runInWorker(async (data) => ({ engine: new TextEngine(…), id, contextTokens, close }));
 */
export function runInWorker(
  start: (data: unknown, onProgress: (progress: unknown) => void) => Promise<WorkerModel>,
): void {
  const port = parentPort;
  if (!port) throw new ServerError("Failed", "runInWorker is for modules that run in a worker.");
  const send = (message: FromWorker) => port.postMessage(message);
  start(workerData, (progress) => send({ type: "progress", progress })).then(
    (model) => new Serving(port, send, model).begin(),
    (error: unknown) => send({ type: "failed", error: plainError(error) }),
  );
}

/** How far a run's reader is. */
class Window {
  private unread = 0;
  private wake: (() => void) | undefined;

  /** Waits until one more event may be sent. */
  async room(): Promise<void> {
    while (this.unread >= unreadEvents) {
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    this.unread++;
  }

  read(events: number): void {
    this.unread -= events;
    this.wake?.();
  }
}

class Serving {
  private readonly runs = new Map<number, { controller: AbortController; window: Window }>();
  private told: string = "";
  private timer: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly port: MessagePort,
    private readonly send: (message: FromWorker) => void,
    private readonly model: WorkerModel,
  ) {}

  begin(): void {
    const { id, contextTokens, engine } = this.model;
    this.port.on("message", (message: ToWorker) => void this.receive(message));
    this.timer = setInterval(() => this.tellLoad(), loadInterval);
    const created = Math.floor(Date.now() / 1000);
    this.send({ type: "ready", model: { id, created, contextTokens }, load: engine.load });
  }

  private async receive(message: ToWorker): Promise<void> {
    if (message.type === "submit") await this.run(message);
    else if (message.type === "close") await this.close();
    else if (message.type === "cancel") this.cancel(message.run);
    else this.runs.get(message.run)?.window.read(message.events);
  }

  private async run({ run, request }: ToWorker & { type: "submit" }): Promise<void> {
    const controller = new AbortController();
    const window = new Window();
    this.runs.set(run, { controller, window });
    try {
      const answer = this.model.engine.submit(request, controller.signal);
      this.send({ type: "accepted", run, promptTokens: answer.promptTokens });
      for await (const event of answer) {
        await window.room();
        controller.signal.throwIfAborted();
        this.send({ type: "event", run, event });
      }
      this.send({ type: "done", run });
    } catch (error) {
      if (!controller.signal.aborted) this.send({ type: "failed", run, error: plainError(error) });
    } finally {
      this.runs.delete(run);
      this.tellLoad();
    }
  }

  private cancel(run: number): void {
    const open = this.runs.get(run);
    open?.controller.abort();
    // It may wait for a reader who has left.
    open?.window.read(unreadEvents);
  }

  private async close(): Promise<void> {
    clearInterval(this.timer);
    for (const run of this.runs.keys()) this.cancel(run);
    await this.model.close();
    this.port.close();
  }

  private tellLoad(): void {
    const load: EngineLoad = this.model.engine.load;
    const text = JSON.stringify(load);
    if (text === this.told) return;
    this.told = text;
    this.send({ type: "load", load });
  }
}
