import { reasonOf, TensorIoError } from "./errors";
import { checkFileName, fileNotFound, type WritableFolder } from "./folder";
import { fileSink } from "./sink-node";
import { fileSource, systemCode } from "./source-node";

/**
 * A folder of the local disk (Node). Links are followed only to files inside the folder, or from
 * `snapshots/<revision>/` to `blobs/` of the same repository, which is how the Hugging Face hub cache is laid out.
 */
export function folder(path: string): WritableFolder {
  return {
    name: path,
    async list() {
      const { readdir } = await import("node:fs/promises");
      const entries = await readdir(path, { withFileTypes: true }).catch((cause: unknown) => {
        throw new TensorIoError(
          "SourceOpenFailed",
          `${path}: cannot list the folder: ${reasonOf(cause)}`,
          { folder: path, reason: systemCode(cause) },
          { cause },
        );
      });
      return entries
        .filter((entry) => !entry.isDirectory())
        .map((entry) => entry.name)
        .toSorted();
    },
    async has(name) {
      checkFileName(name, path);
      const { access } = await import("node:fs/promises");
      const { join } = await import("node:path");
      return access(join(path, name)).then(
        () => true,
        () => false,
      );
    },
    async open(name) {
      checkFileName(name, path);
      return fileSource(await resolveInside(path, name), name);
    },
    create(name) {
      checkFileName(name, path);
      return fileSink(`${path.replace(/[/\\]+$/, "")}/${name}`, name);
    },
    async remove(name) {
      checkFileName(name, path);
      const { rm } = await import("node:fs/promises");
      const { join } = await import("node:path");
      await rm(join(path, name), { force: true });
    },
  };
}

/** The real path of a file, if it may be read as a part of the folder. */
async function resolveInside(path: string, name: string): Promise<string> {
  const { realpath } = await import("node:fs/promises");
  const { basename, dirname, join, sep } = await import("node:path");
  const [root, real] = await Promise.all([realpath(path), realpath(join(path, name))]).catch(
    (cause: unknown) => {
      if (systemCode(cause) === "ENOENT") throw fileNotFound(path, name);
      throw new TensorIoError(
        "SourceOpenFailed",
        `${path}: cannot resolve ${name}: ${reasonOf(cause)}`,
        { folder: path, file: name, reason: systemCode(cause) },
        { cause },
      );
    },
  );
  const inside = real.startsWith(root.endsWith(sep) ? root : root + sep);
  const snapshots = dirname(root);
  const hubBlob =
    basename(snapshots) === "snapshots" && dirname(real) === join(dirname(snapshots), "blobs");
  if (inside || hubBlob) return real;
  throw new TensorIoError(
    "OutsideFolder",
    `${path}: ${name} is a link to ${real}, outside the folder; copy the file into it`,
    { folder: path, file: name, target: real },
  );
}
