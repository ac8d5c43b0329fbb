import type { FileHandle } from "node:fs/promises";
import { reasonOf, TensorIoError } from "./errors";
import { sinkClosed, type ByteSink } from "./sink";
import { systemCode } from "./source-node";

/**
 * A file of the local disk (Node). It is written as `.<name>.<random>.partial` in the same folder, then
 * flushed to the disk and renamed, so that the final name only ever belongs to a whole file. The folder is
 * made if it is missing. Only a killed process leaves a `.partial` file behind.
 */
export function fileSink(path: string, name = path): ByteSink {
  let opened: Promise<PartialFile> | undefined;
  let closed = false;
  const file = () => (opened ??= PartialFile.create(path, name));
  return {
    name,
    async write(offset, bytes) {
      if (closed) throw sinkClosed(name);
      await (await file()).write(offset, bytes);
    },
    async commit() {
      if (closed) throw sinkClosed(name);
      closed = true;
      await (await file()).publish();
    },
    async abort() {
      if (closed) return;
      closed = true;
      // A file that could not be created has nothing to remove.
      const partial = await opened?.catch(() => undefined);
      await partial?.discard();
    },
  };
}

class PartialFile {
  private constructor(
    private readonly handle: FileHandle,
    private readonly partialPath: string,
    private readonly path: string,
    private readonly name: string,
  ) {}

  static async create(path: string, name: string): Promise<PartialFile> {
    const { mkdir, open } = await import("node:fs/promises");
    const { basename, dirname, join } = await import("node:path");
    const { randomBytes } = await import("node:crypto");
    const unique = randomBytes(6).toString("hex");
    const partialPath = join(dirname(path), `.${basename(path)}.${unique}.partial`);
    try {
      await mkdir(dirname(path), { recursive: true });
      return new PartialFile(await open(partialPath, "wx"), partialPath, path, name);
    } catch (cause) {
      throw writeFailed(name, "cannot create the file", cause);
    }
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.byteLength) {
      const left = bytes.byteLength - written;
      const { bytesWritten } = await this.handle
        .write(bytes, written, left, offset + written)
        .catch((cause: unknown) => {
          throw writeFailed(this.name, `cannot write ${left} bytes at ${offset + written}`, cause);
        });
      written += bytesWritten;
    }
  }

  async publish(): Promise<void> {
    const { rename } = await import("node:fs/promises");
    try {
      await this.handle.sync();
      await this.handle.close();
      await rename(this.partialPath, this.path);
    } catch (cause) {
      await this.discard();
      throw writeFailed(this.name, "cannot finish the file", cause);
    }
    await syncFolder(this.path);
  }

  async discard(): Promise<void> {
    const { rm } = await import("node:fs/promises");
    await this.handle.close().catch(() => undefined);
    await rm(this.partialPath, { force: true });
  }
}

/** Makes the rename itself durable, on systems where a folder can be flushed. */
async function syncFolder(path: string): Promise<void> {
  const { open } = await import("node:fs/promises");
  const { dirname } = await import("node:path");
  const folder = await open(dirname(path), "r").catch(() => undefined);
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}

function writeFailed(file: string, what: string, cause: unknown): TensorIoError {
  return new TensorIoError(
    "WriteFailed",
    `${file}: ${what}: ${reasonOf(cause)}`,
    { file, reason: systemCode(cause) },
    { cause },
  );
}
