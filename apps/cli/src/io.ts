/** Where text goes: `process.stdout`, or a list in a test. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** Everything of the outside world that a command may touch besides files. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  /** What is typed or piped in (default: that of the process). */
  readonly stdin?: NodeJS.ReadableStream & { readonly isTTY?: boolean | undefined };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
}
