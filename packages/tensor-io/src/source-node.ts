import type { FileHandle } from "node:fs/promises";
import { reasonOf, TensorIoError } from "./errors";
import { allocate, checkRead, readFailed, type ByteSource } from "./source";

/** Largest single read: small enough to notice an abort soon, below the 2^31 limit of the system call. */
const readPiece = 64 * 1024 * 1024;

/**
 * A file of the local disk (Node). Only regular files are opened: a pipe, which would make any reader wait
 * for ever, is refused.
 * @throws TensorIoError FileNotFound, NotAFile, SourceOpenFailed
 */
export async function fileSource(path: string, name = path): Promise<ByteSource> {
  const { handle, size } = await openRegularFile(path, name);
  let closed = false;
  const source: ByteSource = {
    name,
    size,
    async read(offset, length, signal) {
      checkRead(source, closed, offset, length, signal);
      const bytes = allocate(name, length, () => new Uint8Array(length));
      let filled = 0;
      while (filled < length) {
        signal?.throwIfAborted();
        const piece = Math.min(length - filled, readPiece);
        const { bytesRead } = await handle
          .read(bytes, filled, piece, offset + filled)
          .catch((cause: unknown) => {
            throw readFailed(name, offset, length, reasonOf(cause), cause);
          });
        if (bytesRead === 0) {
          throw readFailed(name, offset, length, "the file became shorter after it was opened");
        }
        filled += bytesRead;
      }
      return bytes;
    },
    async close() {
      if (closed) return;
      closed = true;
      await handle.close();
    },
  };
  return source;
}

async function openRegularFile(
  path: string,
  name: string,
): Promise<{ handle: FileHandle; size: number }> {
  const { constants, open } = await import("node:fs/promises");
  // Without O_NONBLOCK the open itself waits for a writer when the path is a pipe. Windows has no such flag.
  const flags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);
  const handle = await open(path, flags).catch((cause: unknown) => {
    throw openFailed(name, cause);
  });
  const stat = await handle.stat();
  if (stat.isFile()) return { handle, size: stat.size };
  await handle.close();
  throw notAFile(name);
}

function openFailed(name: string, cause: unknown): TensorIoError {
  const code = systemCode(cause);
  // ENXIO: a socket. EISDIR: a folder, on systems that refuse to open one.
  if (code === "ENXIO" || code === "EISDIR") return notAFile(name, cause);
  if (code === "ENOENT" || code === "ENOTDIR") {
    return new TensorIoError(
      "FileNotFound",
      `${name}: no such file`,
      { file: name, reason: code },
      { cause },
    );
  }
  return new TensorIoError(
    "SourceOpenFailed",
    `${name}: cannot open the file: ${reasonOf(cause)}`,
    { file: name, reason: code },
    { cause },
  );
}

function notAFile(name: string, cause?: unknown): TensorIoError {
  return new TensorIoError("NotAFile", `${name}: not a regular file`, { file: name }, { cause });
}

/** The `code` of a system error ("ENOENT"), or undefined. */
export function systemCode(cause: unknown): string | undefined {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  return typeof code === "string" ? code : undefined;
}
