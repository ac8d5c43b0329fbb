import { mkdir, readdir, readFile, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { savedLayers } from "@transmla/conversion";
import { folder, type WritableFolder } from "@transmla/tensor-io";
import { CliError } from "./errors";

/** Work that an earlier process left in a folder and that can be gone on with. */
export interface Unfinished {
  /** "conversion", "training". */
  readonly work: string;
  readonly isIn: (path: string) => Promise<boolean>;
}

/** Layers that `convert` has finished. */
export const unfinishedConversion: Unfinished = {
  work: "conversion",
  isIn: async (path) => {
    const output = folder(path);
    return !(await output.has("config.json")) && (await savedLayers(output)).length > 0;
  },
};

/**
 * Refuses an output that is the input, holds a model, or has one of the files that would be written. Changes nothing.
 *
 * @throws CliError `OutputIsInput`, `OutputExists`, `OutputUnusable`
 */
export async function checkOutput(
  path: string,
  input: string,
  fileNames: readonly string[],
  resume = false,
  unfinished = unfinishedConversion,
): Promise<void> {
  const [output, model] = await Promise.all([
    stat(path).catch(() => undefined),
    stat(input).catch(() => undefined),
  ]);
  if (output === undefined) return;
  // The same folder by number, so that links and spellings make no difference.
  if (output.dev === model?.dev && output.ino === model.ino) {
    throw new CliError(
      "OutputIsInput",
      `${path} is the model that is read; choose another folder.`,
      {
        path,
        input,
      },
    );
  }
  if (!output.isDirectory()) {
    throw new CliError(
      "OutputUnusable",
      `${path} is a file; give a folder for the converted model.`,
      {
        path,
      },
    );
  }
  await refuseTaken(path, fileNames, resume, unfinished);
}

async function refuseTaken(
  path: string,
  fileNames: readonly string[],
  resume: boolean,
  { work, isIn }: Unfinished,
): Promise<void> {
  const planned = new Set(fileNames);
  const names = await readdir(path);
  const isUnfinished = await isIn(path);
  if (isUnfinished && resume) return;
  if (isUnfinished) {
    throw new CliError(
      "OutputExists",
      `${path} holds an unfinished ${work}; add --resume to go on with it, or remove the folder.`,
      { path },
    );
  }
  if (resume && names.includes("config.json")) {
    throw new CliError(
      "OutputExists",
      `${path} holds a complete model: there is nothing to resume.`,
      { path },
    );
  }
  const taken = names.find((name) => planned.has(name) || isModelFile(name));
  if (taken === undefined) return;
  throw new CliError("OutputExists", `${path} already holds ${taken}; choose an empty folder.`, {
    path,
    file: taken,
  });
}

const isModelFile = (name: string) =>
  name === "config.json" || /\.(safetensors|gguf|safetensors\.index\.json)$/.test(name);

/**
 * Makes the folder, if it is missing, and runs `write` in it while no other process may. If that fails nothing of it stays:
 * the files of the given names go, and so do folders that were made for them. Finished layers of a conversion stay.
 *
 * @throws CliError `OutputUnusable`, `OutputBusy`, `OutputExists`; what `write` throws
 */
export async function withOutput<Value>(
  path: string,
  fileNames: readonly string[],
  write: (output: WritableFolder) => Promise<Value>,
  {
    resume = false,
    unfinished = unfinishedConversion,
  }: { readonly resume?: boolean; readonly unfinished?: Unfinished } = {},
): Promise<Value> {
  const first = await mkdir(path, { recursive: true }).catch(unusable(path));
  const unlock = await lock(path);
  try {
    // Another process may have finished since the folder was looked at; its files are not ours to remove.
    await refuseTaken(path, fileNames, resume, unfinished);
    await removeLeftovers(path);
  } catch (error) {
    await unlock();
    throw CliError.isInstance(error) ? error : unusable(path)(error);
  }
  try {
    const value = await write(folder(path));
    await unlock();
    return value;
  } catch (error) {
    for (const name of fileNames) await rm(join(path, name), { force: true });
    await unlock();
    if (first !== undefined) await removeEmptyFolders(resolve(path), resolve(first));
    throw error;
  }
}

/** Files that a killed process was writing; whoever holds the lock knows that nobody writes them any more. */
async function removeLeftovers(path: string): Promise<void> {
  for (const name of await readdir(path)) {
    if (/^\..+\.[0-9a-f]{12}\.partial$/.test(name)) await rm(join(path, name), { force: true });
  }
}

/** Holds the number of the process that writes. */
const LOCK = ".transmla.lock";

/** Claims a folder for this process. A claim of a process that is no more is taken over. */
async function lock(path: string): Promise<() => Promise<void>> {
  const file = join(path, LOCK);
  for (;;) {
    try {
      await writeFile(file, `${process.pid}\n`, { flag: "wx" });
      return () => rm(file, { force: true });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") return unusable(path)(cause);
    }
    const owner = Number(await readFile(file, "utf8").catch(() => "0"));
    if (isRunning(owner)) {
      throw new CliError(
        "OutputBusy",
        `${path} is being written by process ${owner}; wait for it or choose another folder.`,
        { path, process: owner },
      );
    }
    await rm(file, { force: true });
  }
}

/** Whether a process of that number is there. */
export function isRunning(process_: number): boolean {
  if (!Number.isSafeInteger(process_) || process_ <= 0) return false;
  try {
    process.kill(process_, 0);
    return true;
  } catch (error) {
    // Somebody else's process may not be asked, but it is there.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function unusable(path: string): (cause: unknown) => never {
  return (cause) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError("OutputUnusable", `${path} cannot be used: ${reason}`, { path }, { cause });
  };
}

/** Removes folders from `innermost` up to `outermost`, as far as they are empty. */
async function removeEmptyFolders(innermost: string, outermost: string): Promise<void> {
  try {
    for (let path = innermost; path.length >= outermost.length; path = dirname(path)) {
      await rmdir(path);
    }
  } catch {
    // Somebody else has put a file there: the folder is theirs now.
  }
}
