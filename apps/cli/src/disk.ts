import { stat, statfs } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { CliError } from "./errors";
import { bytes } from "./terminal/format";

/** Bytes that may be written under a path, which need not exist yet. */
export async function freeBytes(path: string): Promise<number> {
  const full = resolve(path);
  if (await stat(full).catch(() => undefined)) {
    const { bavail, bsize } = await statfs(full);
    return bavail * bsize;
  }
  return freeBytes(dirname(full));
}

/**
 * Refuses work that the disk has no room for, before it starts.
 *
 * @returns the bytes that are free
 * @throws CliError `DiskFull`
 */
export async function requireDisk(path: string, needed: number): Promise<number> {
  const free = await freeBytes(path);
  if (free >= needed) return free;
  throw new CliError(
    "DiskFull",
    `${path} needs ${bytes(needed)} while it is written, and the disk has ${bytes(free)} left.`,
    { path, needed, free },
  );
}
