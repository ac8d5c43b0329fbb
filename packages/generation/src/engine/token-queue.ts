/** Values that one side pushes and the other iterates, without either waiting for the other. */
export class TokenQueue<Value> {
  private readonly values: Value[] = [];
  private ending: { readonly error?: unknown } | undefined;
  private wake: (() => void) | undefined;

  push(value: Value): void {
    if (this.ending) return;
    this.values.push(value);
    this.wake?.();
  }

  /** No more values follow. */
  end(): void {
    this.ending ??= {};
    this.wake?.();
  }

  /** The reader gets the error as soon as it asks: values that it has not taken are dropped. */
  fail(error: unknown): void {
    if (this.ending) return;
    this.values.length = 0;
    this.ending = { error };
    this.wake?.();
  }

  async *read(): AsyncGenerator<Value, void, undefined> {
    for (;;) {
      while (this.values.length > 0) yield this.values.shift()!;
      if (this.ending && "error" in this.ending) throw this.ending.error;
      if (this.ending) return;
      await new Promise<void>((resolve) => (this.wake = resolve));
      this.wake = undefined;
    }
  }
}
