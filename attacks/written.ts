import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Files } from "./attack";

/** Puts a model on the disk and gives the path that commands take. */
export async function written(files: Files, folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const [file, bytes] of files) await writeFile(join(folder, file), bytes);
  return files.has("model.gguf") ? join(folder, "model.gguf") : folder;
}
