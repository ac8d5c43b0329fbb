import { TensorIoError } from "./errors";
import { allocate } from "./source";

/** Where a file is written: nothing is visible under its name before `commit`. */
export interface ByteSink {
  readonly name: string;
  /** Writes at a position; positions may come in any order. @throws TensorIoError WriteFailed, SinkClosed */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Makes the file whole and visible. */
  commit(): Promise<void>;
  /** Leaves nothing behind; allowed at any time, does nothing after `commit`. */
  abort(): Promise<void>;
}

/** A sink in memory. */
export interface MemorySink extends ByteSink {
  /** The committed bytes. @throws TensorIoError SinkClosed before `commit` */
  bytes(): Uint8Array;
}

/** The error of a sink used after its end. */
export function sinkClosed(name: string): TensorIoError {
  return new TensorIoError("SinkClosed", `${name}: the file was already committed or aborted`, {
    file: name,
  });
}

/** Collects a file in memory; `onCommit` receives the finished bytes. */
export function memorySink(name = "memory", onCommit?: (bytes: Uint8Array) => void): MemorySink {
  let buffer = new Uint8Array(0);
  let length = 0;
  let state: "open" | "committed" | "aborted" = "open";
  return {
    name,
    async write(offset, bytes) {
      if (state !== "open") throw sinkClosed(name);
      const end = offset + bytes.byteLength;
      if (end > buffer.byteLength) {
        const capacity = Math.max(end, buffer.byteLength * 2);
        const grown = allocate(name, capacity, () => new Uint8Array(capacity));
        grown.set(buffer.subarray(0, length));
        buffer = grown;
      }
      buffer.set(bytes, offset);
      length = Math.max(length, end);
    },
    async commit() {
      if (state !== "open") throw sinkClosed(name);
      state = "committed";
      buffer = buffer.slice(0, length);
      onCommit?.(buffer);
    },
    async abort() {
      if (state !== "open") return;
      state = "aborted";
      buffer = new Uint8Array(0);
      length = 0;
    },
    bytes() {
      if (state === "committed") return buffer;
      throw new TensorIoError("SinkClosed", `${name}: the file was not committed`, { file: name });
    },
  };
}
