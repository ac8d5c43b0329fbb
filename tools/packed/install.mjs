import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { packPackages, publishedPackages } from "./packages.mjs";

/**
 * Packs the published packages of this repository and installs them in a folder of their own, from tarballs and not from the workspace.
 * A folder that has the same packages already is left as it is.
 * @param {string} folder made if it is not there; its `package.json` and `node_modules` are written anew
 * @returns {Promise<{ packages: string[], changed: boolean }>}
 */
export async function installPacked(folder) {
  const names = publishedPackages().map(({ name }) => name);
  const tarballs = await mkdtemp(join(tmpdir(), "transmla-packed-"));
  try {
    const packed = await packPackages(names, tarballs);
    const stamp = JSON.stringify(packed.map(({ name, integrity }) => [name, integrity]));
    const stampFile = join(folder, "node_modules", ".packed.json");
    if (existsSync(stampFile) && (await readFile(stampFile, "utf8")) === stamp) {
      return { packages: names, changed: false };
    }
    await rm(join(folder, "node_modules"), { recursive: true, force: true });
    await rm(join(folder, "package-lock.json"), { force: true });
    await mkdir(folder, { recursive: true });
    const manifest = {
      name: "packed",
      private: true,
      type: "module",
      dependencies: Object.fromEntries(
        packed.map(({ name, tarball }) => [name, `file:${tarball}`]),
      ),
    };
    await writeFile(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    // No lockfile: the tarballs it would name are gone in a moment.
    const options = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"];
    await promisify(execFile)("npm", ["install", "--prefer-offline", ...options], {
      cwd: folder,
      maxBuffer: 1 << 26,
    });
    await writeFile(stampFile, stamp);
    return { packages: names, changed: true };
  } finally {
    await rm(tarballs, { recursive: true, force: true });
  }
}
