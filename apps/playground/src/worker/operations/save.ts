import { writeFile, type ModelFolder, type WritableFolder } from "@transmla/tensor-io";
import { PlaygroundError } from "../failure";
import type { Operation, Progress, Running } from "../operation";
import { directoryFolder } from "../sources/directory-folder";
import { keptFolder } from "../sources/kept-folders";
import type { Workbench } from "../workbench";
import { zipOf } from "../zip";

/** Where a converted model is saved: a folder on the disk, or one of the browser's own under a name. */
export type SaveChoice =
  | { readonly kind: "directory"; readonly handle: FileSystemDirectoryHandle }
  | { readonly kind: "kept"; readonly name: string };

/** What was saved. */
export interface Saved {
  readonly folder: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

/**
 * Writes the converted model into a folder, its config last, so that a folder that was not written whole does not load.
 *
 * @throws PlaygroundError `NotConverted`, `FolderTaken`, `NoStorage`; TensorIoError `WriteFailed`; the signal's reason
 */
export const saveConverted: Operation<SaveChoice, Saved> = async (bench, choice, running) => {
  const output = outputOf(bench);
  const target =
    choice.kind === "directory"
      ? await emptyFolder(choice.handle)
      : await keptFolder(choice.name, true);
  const files = await copyFiles(output, target, running);
  return { folder: target.name, files };
};

/** A folder of the disk, in which nothing would be lost. */
async function emptyFolder(handle: FileSystemDirectoryHandle): Promise<WritableFolder> {
  const folder = directoryFolder(handle);
  if (!(await folder.has("config.json"))) return folder;
  const message = `${handle.name} holds a model already: choose an empty folder.`;
  throw new PlaygroundError("FolderTaken", message);
}

/** The converted model as one file. @throws PlaygroundError `NotConverted`, `FileTooLarge`; the signal's reason */
export const zipConverted: Operation<
  Record<never, never>,
  { readonly name: string; readonly blob: Blob }
> = async (bench, _, running) => {
  const output = outputOf(bench);
  const files = new Map<string, Uint8Array>();
  for (const name of await output.list()) {
    running.signal.throwIfAborted();
    files.set(`${output.name}/${name}`, await contentOf(output, name));
  }
  return { name: `${output.name}.zip`, blob: zipOf(files) };
};

function outputOf(bench: Workbench): ModelFolder {
  const { output } = bench.filled.includes("converted") ? bench.at("converted") : {};
  if (output) return output;
  throw new PlaygroundError(
    "NotConverted",
    "Convert a model first; what was opened is saved already.",
  );
}

async function copyFiles(
  from: ModelFolder,
  to: WritableFolder,
  { emit, signal }: Running<Progress>,
): Promise<Saved["files"]> {
  const last = "config.json";
  const names = [...(await from.list()).filter((name) => name !== last), last];
  const files: { name: string; bytes: number }[] = [];
  for (const name of names) {
    signal.throwIfAborted();
    const content = await contentOf(from, name);
    await writeFile(to, name, content);
    files.push({ name, bytes: content.byteLength });
    emit({ label: "Saving", done: files.length, total: names.length, unit: "files" });
  }
  return files;
}

async function contentOf(folder: ModelFolder, name: string): Promise<Uint8Array> {
  const source = await folder.open(name);
  try {
    return await source.read(0, source.size);
  } finally {
    await source.close();
  }
}
