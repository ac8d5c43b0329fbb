import { reasonOf, TensorIoError } from "./errors";

/** Random access to bytes of known number: a file, a Blob, memory or an address. */
export interface ByteSource {
  /** What to call it in messages; never contains credentials. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /**
   * A fresh array with exactly `length` bytes from `offset`.
   * @throws TensorIoError ReadOutOfBounds, ReadFailed, SourceClosed; the signal's reason when aborted
   */
  read(offset: number, length: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Releases what the source holds; closing twice is allowed. */
  close(): Promise<void>;
}

/** The checks that every source makes before it reads: abort, closed, range. */
export function checkRead(
  source: { readonly name: string; readonly size: number },
  closed: boolean,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): void {
  signal?.throwIfAborted();
  if (closed) {
    throw new TensorIoError("SourceClosed", `${source.name}: read after close`, {
      file: source.name,
    });
  }
  const inside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= source.size;
  if (!inside) {
    throw new TensorIoError(
      "ReadOutOfBounds",
      `${source.name}: cannot read ${length} bytes at ${offset}, the size is ${source.size}`,
      { file: source.name, offset, length, size: source.size },
    );
  }
}

/** Runs an allocation and turns the engine's RangeError into a typed error that says what to do. */
export function allocate<T>(what: string, bytes: number, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new TensorIoError(
      "TensorTooLarge",
      `${what}: cannot hold ${bytes} bytes in one piece; read it in row ranges`,
      { what, bytes },
      { cause },
    );
  }
}

/** Bytes that are already in memory. Reads are copies, so the source cannot be changed through them. */
export function bytesSource(bytes: Uint8Array, name = "bytes"): ByteSource {
  let closed = false;
  const source: ByteSource = {
    name,
    size: bytes.byteLength,
    async read(offset, length, signal) {
      checkRead(source, closed, offset, length, signal);
      // A plain Uint8Array copy even where `bytes` is a Node Buffer, whose slice() would share memory.
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    async close() {
      closed = true;
    },
  };
  return source;
}

/** A Blob or a File that a person chose in a browser. Its name is the File's unless one is given. */
export function blobSource(blob: Blob, name?: string): ByteSource {
  let closed = false;
  const source: ByteSource = {
    name: name ?? ("name" in blob && typeof blob.name === "string" ? blob.name : "blob"),
    size: blob.size,
    async read(offset, length, signal) {
      checkRead(source, closed, offset, length, signal);
      const buffer = await blob
        .slice(offset, offset + length)
        .arrayBuffer()
        .catch((cause: unknown) => {
          throw readFailed(source.name, offset, length, reasonOf(cause), cause);
        });
      signal?.throwIfAborted();
      if (buffer.byteLength !== length) {
        throw readFailed(source.name, offset, length, `only ${buffer.byteLength} bytes came`);
      }
      return new Uint8Array(buffer);
    },
    async close() {
      closed = true;
    },
  };
  return source;
}

/** A ReadFailed error for a range of a file. */
export function readFailed(
  file: string,
  offset: number,
  length: number,
  reason: string,
  cause?: unknown,
): TensorIoError {
  return new TensorIoError(
    "ReadFailed",
    `${file}: reading ${length} bytes at ${offset} failed: ${reason}`,
    { file, offset, length },
    { cause },
  );
}
