import { ServerError } from "../errors";
import type { Limits } from "../limits";

/** What an event stream is made of and whom it tells of its end. */
export interface EventStreamOptions {
  readonly limits: Pick<Limits, "unreadBytes" | "stalledMilliseconds">;
  /** Turns a failure into a last event; the stream then ends as it should. */
  readonly failed: (error: unknown) => unknown;
  /** Called once, when nobody reads any more: with the reason to stop the work. */
  readonly abandon: (reason: unknown) => void;
  /** Closes the connection of a reader who is dropped (default: the stream ends with an error). */
  readonly cut?: (() => void) | undefined;
}

/**
 * Server-sent events (HTML standard, section 9.2) of values as JSON, with `[DONE]` at the end. The work goes on whether or not they
 * are read, so that what waits for a slow reader is bounded: more bytes, or nothing taken for too long, and the reader is dropped.
 */
export function eventStream(
  values: AsyncIterable<unknown>,
  { limits, failed, abandon, cut }: EventStreamOptions,
): ReadableStream<Uint8Array> {
  const utf8 = new TextEncoder();
  let watch: ReaderWatch | undefined;
  let isOpen = true;
  const close = (reason?: unknown) => {
    watch?.stop();
    if (!isOpen) return;
    isOpen = false;
    if (reason !== undefined) abandon(reason);
  };
  const write = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    watch = new ReaderWatch(controller, limits, (error) => {
      close(error);
      if (cut) cut();
      else controller.error(error);
    });
    const send = (data: string) => {
      if (!isOpen) return;
      const bytes = utf8.encode(`data: ${data}\n\n`);
      controller.enqueue(bytes);
      watch!.sent(bytes.length);
    };
    try {
      for await (const value of values) {
        send(JSON.stringify(value));
        if (!isOpen) return;
      }
      send("[DONE]");
    } catch (error) {
      send(JSON.stringify(failed(error)));
    }
    if (!isOpen) return;
    close();
    controller.close();
  };
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => void write(controller),
      cancel: (reason) => close(reason ?? new Error("The reader left.")),
    },
    new ByteLengthQueuingStrategy({ highWaterMark: limits.unreadBytes }),
  );
}

/** Sees by what is left in a stream's queue whether anybody reads it. */
class ReaderWatch {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private total = 0;
  private takenBefore = 0;

  constructor(
    private readonly controller: ReadableStreamDefaultController<Uint8Array>,
    private readonly limits: EventStreamOptions["limits"],
    private readonly drop: (error: ServerError) => void,
  ) {}

  /** So many bytes were put into the queue. */
  sent(bytes: number): void {
    this.total += bytes;
    const { unreadBytes, stalledMilliseconds } = this.limits;
    if (this.waiting > unreadBytes) {
      this.slow(`More than ${unreadBytes} bytes of the answer were not read.`);
    } else {
      this.timer ??= setTimeout(() => this.look(), stalledMilliseconds);
    }
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private look(): void {
    this.timer = undefined;
    if (this.waiting === 0) return;
    const taken = this.total - this.waiting;
    if (taken === this.takenBefore)
      return this.slow("Nothing of the answer was read for too long.");
    this.takenBefore = taken;
    this.timer = setTimeout(() => this.look(), this.limits.stalledMilliseconds);
  }

  private get waiting(): number {
    return this.limits.unreadBytes - (this.controller.desiredSize ?? 0);
  }

  private slow(message: string): void {
    this.drop(new ServerError("SlowReader", message, { unreadBytes: this.limits.unreadBytes }));
  }
}
