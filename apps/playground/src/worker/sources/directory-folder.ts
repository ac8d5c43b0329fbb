import { blobSource, TensorIoError, type ByteSink, type WritableFolder } from "@transmla/tensor-io";

/**
 * A folder that a person chose on the disk (File System Access) or one of the browser's own (OPFS). Browsers write to a temporary
 * file and put it in place when it is closed, so a file is whole or not there.
 */
export function directoryFolder(handle: FileSystemDirectoryHandle): WritableFolder {
  const find = (name: string) => handle.getFileHandle(name).catch(() => undefined);
  return {
    name: handle.name,
    async list() {
      const names: string[] = [];
      for await (const entry of handle.values()) if (entry.kind === "file") names.push(entry.name);
      return names.toSorted();
    },
    has: async (name) => (await find(name)) !== undefined,
    async open(name) {
      const file = await find(name);
      if (file) return blobSource(await file.getFile(), name);
      const message = `${handle.name}: there is no file ${name}`;
      throw new TensorIoError("FileNotFound", message, { folder: handle.name, file: name });
    },
    create: (name) => fileSink(handle, name),
    remove: (name) => handle.removeEntry(name).catch(() => undefined),
  };
}

function fileSink(folder: FileSystemDirectoryHandle, name: string): ByteSink {
  let stream: Promise<FileSystemWritableFileStream> | undefined;
  const open = () => {
    stream ??= folder.getFileHandle(name, { create: true }).then((file) => file.createWritable());
    return stream;
  };
  const attempt = async (write: () => Promise<void>) => {
    try {
      await write();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const message = `${folder.name}/${name} cannot be written: ${reason}`;
      throw new TensorIoError("WriteFailed", message, { file: name }, { cause });
    }
  };
  return {
    name,
    write: (position, bytes) =>
      attempt(async () =>
        (await open()).write({ type: "write", position, data: bytes as BlobPart }),
      ),
    commit: () => attempt(async () => (await open()).close()),
    abort: async () => {
      await stream?.then((opened) => opened.abort()).catch(() => undefined);
    },
  };
}
