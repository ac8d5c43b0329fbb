import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

/** Models and inputs that take long to make. Delete the folder to make them anew. */
const folder =
  process.env["TRANSMLA_BENCH_CACHE"] ?? fileURLToPath(new URL("../.cache", import.meta.url));

/**
 * Path of a file or folder of the cache; `make(path)` writes it if it is not there. It is made under another name first, so
 * that an interrupted run leaves nothing that looks whole.
 */
export async function cached(name, make) {
  const path = join(folder, name);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  const part = join(folder, `part-${process.pid}-${name}`);
  await rm(part, { recursive: true, force: true });
  await make(part);
  await rename(part, path);
  return path;
}
