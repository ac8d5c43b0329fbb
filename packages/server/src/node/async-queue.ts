/** Values from one side that another side waits for. Read once. */
export class AsyncQueue<Value> implements AsyncIterable<Value> {
  private values: Value[] = [];
  private end: { readonly error?: unknown } | undefined;
  private wake: (() => void) | undefined;

  /** `onRead` is called after every value that is taken, `onLeave` when the reader stops for whatever reason. */
  constructor(
    private readonly onRead: () => void,
    private readonly onLeave: () => void,
  ) {}

  push(value: Value): void {
    if (this.end) return;
    this.values.push(value);
    this.wake?.();
  }

  /** Nothing more comes; what is there can still be read. */
  close(): void {
    this.end ??= {};
    this.wake?.();
  }

  /** The reader gets this error, and nothing of what it has not read. */
  fail(error: unknown): void {
    if (this.end) return;
    this.values = [];
    this.end = { error };
    this.wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Value, void, undefined> {
    try {
      for (;;) {
        while (this.values.length > 0) {
          const value = this.values.shift()!;
          this.onRead();
          yield value;
        }
        if (this.end && "error" in this.end) throw this.end.error;
        if (this.end) return;
        await new Promise<void>((resolve) => (this.wake = resolve));
      }
    } finally {
      this.onLeave();
    }
  }
}
