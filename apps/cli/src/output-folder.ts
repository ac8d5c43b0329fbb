import { mkdir, readdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { folder, type WritableFolder } from "@transmla/tensor-io";
import { CliError } from "./errors";

/** A folder into which a model may be written, and how to leave no trace of an attempt. */
export interface OutputFolder {
  readonly folder: WritableFolder;
  /** Removes the given files and the folders that were made for them. */
  discard(): Promise<void>;
}

/**
 * Refuses an output that is the input, holds a model, or has one of the files that would be written. Changes nothing.
 *
 * @throws CliError `OutputIsInput`, `OutputExists`, `OutputUnusable`
 */
export async function checkOutput(
  path: string,
  input: string,
  fileNames: readonly string[],
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
  const planned = new Set(fileNames);
  const taken = (await readdir(path)).find((name) => planned.has(name) || isModelFile(name));
  if (taken === undefined) return;
  throw new CliError("OutputExists", `${path} already holds ${taken}; choose an empty folder.`, {
    path,
    file: taken,
  });
}

const isModelFile = (name: string) =>
  name === "config.json" || /\.(safetensors|gguf|safetensors\.index\.json)$/.test(name);

/**
 * Makes the folder, if it is missing, for files of the given names.
 *
 * @throws CliError `OutputUnusable`
 */
export async function makeOutput(
  path: string,
  fileNames: readonly string[],
): Promise<OutputFolder> {
  const first = await mkdir(path, { recursive: true }).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError("OutputUnusable", `${path} cannot be made: ${reason}`, { path }, { cause });
  });
  return {
    folder: folder(path),
    async discard() {
      for (const name of fileNames) await rm(join(path, name), { force: true });
      if (first !== undefined) await removeEmptyFolders(resolve(path), resolve(first));
    },
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
