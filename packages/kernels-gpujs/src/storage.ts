import type { Shape } from "@transmla/kernels";
import { discard, failure, toHost, type GpuQueue, type Handle } from "./gpu-queue";

/** Memory that is written in parts: a weight or a pool. It waits on the host, as zeros and what was written, until a kernel wants it. */
export class Storage {
  readonly #queue: GpuQueue;
  #host: Float32Array | undefined;
  #handle: Handle | undefined;
  #error: unknown;

  constructor(
    queue: GpuQueue,
    readonly shape: Shape,
  ) {
    this.#queue = queue;
  }

  /** Writes rows after the work that was enqueued before. */
  writeRows(first: number, rows: Float32Array): void {
    this.#change(async () => {
      const host = await this.#onHost();
      host.set(rows, first * this.shape[1]);
    });
  }

  /** Takes what `make` makes of the content in its place. */
  replace(make: (old: Handle) => Promise<Handle>): void {
    this.#change(async () => {
      const old = await this.handle();
      this.#handle = await make(old);
      discard(old);
    });
  }

  /** The content on the GPU; only from within queued work. @throws KernelsError what went wrong when it was written */
  async handle(): Promise<Handle> {
    if (this.#error !== undefined) throw failure(this.#error);
    if (!this.#handle) {
      this.#handle = await this.#queue.upload(await this.#onHost(), this.shape);
      this.#host = undefined;
    }
    return this.#handle;
  }

  free(): void {
    this.#change(async () => {
      discard(this.#handle);
      this.#handle = undefined;
      this.#host = undefined;
    });
  }

  #change(work: () => Promise<void>): void {
    void this.#queue.enqueue(work).catch((error: unknown) => {
      this.#error ??= error;
    });
  }

  /** The content in memory, for changing it. */
  async #onHost(): Promise<Float32Array> {
    if (this.#handle) {
      this.#host = await toHost(this.#handle, this.shape);
      discard(this.#handle);
      this.#handle = undefined;
    }
    this.#host ??= new Float32Array(this.shape[0] * this.shape[1]);
    return this.#host;
  }
}
