import type { WritableFolder } from "@transmla/tensor-io";
import { PlaygroundError } from "../failure";
import { directoryFolder } from "./directory-folder";

/** The folder of the browser's own storage (OPFS) that models are kept in. */
const KEPT = "models";

async function keptRoot(): Promise<FileSystemDirectoryHandle> {
  if (!("createWritable" in FileSystemFileHandle.prototype)) {
    throw new PlaygroundError(
      "NoStorage",
      "This browser cannot write to its own storage here; download the model instead.",
    );
  }
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(KEPT, { create: true });
}

/** The folder of a kept model. With `create`, an empty one in its place. */
export async function keptFolder(name: string, create = false): Promise<WritableFolder> {
  const root = await keptRoot();
  if (create) await root.removeEntry(name, { recursive: true }).catch(() => undefined);
  return directoryFolder(await root.getDirectoryHandle(name, { create }));
}

/** Names of the kept models; none where the browser has no storage. */
export async function keptNames(): Promise<string[]> {
  const root = await keptRoot().catch(() => undefined);
  const names: string[] = [];
  if (root) for await (const name of root.keys()) names.push(name);
  return names.toSorted();
}

export async function removeKeptFolder(name: string): Promise<void> {
  const root = await keptRoot();
  await root.removeEntry(name, { recursive: true });
}
