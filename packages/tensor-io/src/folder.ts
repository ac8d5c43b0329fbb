import { TensorIoError } from "./errors";
import { memorySink, type ByteSink } from "./sink";
import { blobSource, bytesSource, type ByteSource } from "./source";

/** The files of one model: a directory, a map in memory or a list of chosen files. */
export interface ModelFolder {
  readonly name: string;
  /** Names of the files, sorted; folders inside are not listed. */
  list(): Promise<string[]>;
  has(name: string): Promise<boolean>;
  /** @throws TensorIoError InvalidFileName, FileNotFound, OutsideFolder, NotAFile, SourceOpenFailed */
  open(name: string): Promise<ByteSource>;
}

/** A model folder that can also be written. */
export interface WritableFolder extends ModelFolder {
  /** A sink for a new file, which replaces a file of the same name when it is committed. */
  create(name: string): ByteSink;
  /** Removes a file if it is there. */
  remove(name: string): Promise<void>;
}

/** Refuses every name that could lead out of a folder. @throws TensorIoError InvalidFileName */
export function checkFileName(name: string, folder: string): void {
  // The colon separates drives and alternate streams on Windows.
  const plain = name !== "" && name !== "." && name !== ".." && !/[/\\:\0]/.test(name);
  if (!plain) {
    throw new TensorIoError(
      "InvalidFileName",
      `${folder}: ${JSON.stringify(name.slice(0, 200))} is not a plain file name`,
      { folder, name },
    );
  }
}

/** The error of a file that a folder does not have. */
export function fileNotFound(folder: string, name: string): TensorIoError {
  return new TensorIoError("FileNotFound", `${folder}: there is no file ${name}`, {
    folder,
    file: name,
  });
}

/** Writes a small file at once: whole under its name, or not at all. @throws TensorIoError InvalidFileName, WriteFailed */
export async function writeFile(
  folder: WritableFolder,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const sink = folder.create(name);
  try {
    await sink.write(0, bytes);
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

/** A folder in memory; writing to it changes the map. */
export function memoryFolder(
  files: Map<string, Uint8Array> = new Map(),
  name = "memory",
): WritableFolder {
  return {
    name,
    async list() {
      return [...files.keys()].toSorted();
    },
    async has(file) {
      checkFileName(file, name);
      return files.has(file);
    },
    async open(file) {
      checkFileName(file, name);
      const bytes = files.get(file);
      if (bytes === undefined) throw fileNotFound(name, file);
      return bytesSource(bytes, file);
    },
    create(file) {
      checkFileName(file, name);
      return memorySink(file, (bytes) => files.set(file, bytes));
    },
    async remove(file) {
      checkFileName(file, name);
      files.delete(file);
    },
  };
}

/** The files of an `<input type="file">` or a drop, by their base names. */
export function fileListFolder(files: Iterable<File>, name = "files"): ModelFolder {
  const byName = new Map(Array.from(files, (file) => [file.name, file]));
  return {
    name,
    async list() {
      return [...byName.keys()].toSorted();
    },
    async has(file) {
      checkFileName(file, name);
      return byName.has(file);
    },
    async open(file) {
      checkFileName(file, name);
      const found = byName.get(file);
      if (found === undefined) throw fileNotFound(name, file);
      return blobSource(found, file);
    },
  };
}
