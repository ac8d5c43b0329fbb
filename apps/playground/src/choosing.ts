import { complain } from "./state/session";
import type { ModelChoice } from "./worker/sources";

type Picker = (options: { mode: "read" | "readwrite" }) => Promise<FileSystemDirectoryHandle>;

const picker = () => (globalThis as { showDirectoryPicker?: Picker }).showDirectoryPicker;

/** Whether the browser lets a page read and write a folder that a person chose (File System Access). */
export const hasDirectoryPicker = (): boolean => picker() !== undefined;

/** The folder that a person chooses; undefined if none. */
export async function pickDirectory(
  mode: "read" | "readwrite",
): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await picker()!({ mode });
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "AbortError")) {
      complain(error instanceof Error ? error.message : String(error));
    }
    return undefined;
  }
}

/** What an input of files was given: one GGUF file, or the files of a folder. */
export function choiceFromFiles(list: FileList | null): ModelChoice | undefined {
  const files = [...(list ?? [])];
  if (files.length === 0) return undefined;
  const [folder] = files[0]!.webkitRelativePath.split("/");
  // Of a folder within the folder nothing belongs to the model.
  const own = files.filter(({ webkitRelativePath }) => webkitRelativePath.split("/").length <= 2);
  return { kind: "files", name: folder || files[0]!.name, files: own };
}

/** What was dropped: a folder, the files of one, or a GGUF file. */
export async function choiceFromDrop(data: DataTransfer): Promise<ModelChoice | undefined> {
  // Entries are gone once the event is over: they are all asked for before anything is waited for.
  const entries = [...data.items]
    .map((item) => item.webkitGetAsEntry())
    .filter((entry) => entry !== null);
  const [first] = entries;
  if (!first) {
    complain("Nothing was dropped that can be read; choose the folder or file instead.");
    return undefined;
  }
  const inside = isDirectory(first) ? await entriesOf(first) : entries;
  const files = await Promise.all(inside.filter(isFile).map(fileOf));
  return { kind: "files", name: first.name, files };
}

const isDirectory = (entry: FileSystemEntry): entry is FileSystemDirectoryEntry =>
  entry.isDirectory;
const isFile = (entry: FileSystemEntry): entry is FileSystemFileEntry => entry.isFile;

/** All entries of a folder: readers give them in pieces, until an empty one. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const piece = await new Promise<FileSystemEntry[]>((resolve, reject) => {
      reader.readEntries(resolve, reject);
    });
    if (piece.length === 0) return all;
    all.push(...piece);
  }
}

const fileOf = (entry: FileSystemFileEntry): Promise<File> =>
  new Promise((resolve, reject) => {
    entry.file(resolve, reject);
  });
