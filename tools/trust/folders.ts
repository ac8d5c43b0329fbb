import { createHash } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { modelFolderPath } from "@transmla/sample-model";
import { onTestFinished } from "vitest";

/** A new folder that is gone after the test. */
export async function temporaryFolder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "transmla-trust-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** The sample model as files of one's own, with a check that nobody has changed them. */
export async function sampleCopy(): Promise<{ path: string; untouched: () => Promise<boolean> }> {
  const path = join(await temporaryFolder(), "sample");
  await cp(modelFolderPath(), path, { recursive: true });
  const before = await hashes(path);
  return { path, untouched: async () => (await hashes(path)).join() === before.join() };
}

/** Hash and name of every file that is under its final name; logs of a run apart, which tell the time. */
export async function hashes(path: string): Promise<string[]> {
  const names = (await filesBelow(path)).filter((name) => !name.startsWith("."));
  const lines = names.map(async (name) => {
    const hash = createHash("sha256").update(await readFile(join(path, name)));
    return `${hash.digest("hex")} ${name}`;
  });
  return Promise.all(lines);
}

/** Names of all files below a folder, hidden ones too; none where there is no folder. */
export async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true, recursive: true }).catch(() => []);
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map((entry) => join(entry.parentPath, entry.name).slice(path.length + 1)).toSorted();
}
