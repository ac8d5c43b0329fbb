import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** The folder of this repository. */
export const repository = fileURLToPath(new URL("../..", import.meta.url));

/**
 * A package of this repository that is published.
 * @typedef {{ name: string, folder: string, manifest: Record<string, any> }} PublishedPackage
 */

/**
 * The packages that npm would publish, in the order of their names; `folder` is relative to `root`.
 * @param {string} root
 * @returns {PublishedPackage[]}
 */
export function publishedPackages(root = repository) {
  return ["packages", "apps"]
    .flatMap((parent) => readdirSync(join(root, parent)).map((name) => `${parent}/${name}`))
    .filter((folder) => existsSync(join(root, folder, "package.json")))
    .map((folder) => {
      const manifest = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
      return { name: manifest.name, folder, manifest };
    })
    .filter(({ manifest }) => manifest.private !== true)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Packs packages as `npm publish` would, without running their scripts: they have to be built.
 * @param {string[]} names
 * @param {string} destination an existing folder for the tarballs
 * @returns {Promise<{ name: string, version: string, tarball: string, size: number, unpackedSize: number, integrity: string }[]>}
 *   sizes in bytes
 */
export async function packPackages(names, destination) {
  const workspaces = names.flatMap((name) => ["--workspace", name]);
  const { stdout } = await promisify(execFile)(
    "npm",
    ["pack", "--json", "--ignore-scripts", "--pack-destination", destination, ...workspaces],
    { cwd: repository, maxBuffer: 1 << 26 },
  );
  return JSON.parse(stdout).map(({ name, version, filename, size, unpackedSize, integrity }) => ({
    name,
    version,
    tarball: join(destination, filename),
    size,
    unpackedSize,
    integrity,
  }));
}
