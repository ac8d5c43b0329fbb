import { access, readFile } from "node:fs/promises";
import { join } from "node:path";

const home = "git+https://github.com/transmla/transmla.git";

/**
 * Checks what npm's site shows of a package and what its users rely on: licence, source, description, and links that lead somewhere from there.
 * @param {string} installed the folder of the package in somebody's `node_modules`
 * @param {{ name: string, folder: string, manifest: Record<string, any> }} one the package in the repository
 */
export async function checkManifest(installed, { name, folder, manifest }) {
  const { license, repository, description, keywords, engines, publishConfig } = manifest;
  const wrong = [
    [license === "Apache-2.0", "license"],
    [repository?.url === home && repository.directory === folder, "repository"],
    [description?.length > 0 && keywords?.length > 0, "description or keywords"],
    [engines?.node !== undefined, "engines"],
    [publishConfig?.access === "public", "publishConfig"],
    [manifest.exports === undefined || manifest.sideEffects === false, "sideEffects"],
    [
      manifest.scripts?.install === undefined && !manifest.scripts?.postinstall,
      "an install script",
    ],
  ].filter(([right]) => !right);
  if (wrong.length > 0) throw new Error(`${name}: package.json: ${wrong.map(([, what]) => what)}`);

  await access(join(installed, "LICENSE"));
  const readme = await readFile(join(installed, "README.md"), "utf8");
  const links = Array.from(readme.matchAll(/\]\(([^)\s]+)\)/g), ([, link]) => link);
  const relative = links.filter((link) => !/^(https:|#)/.test(link));
  if (relative.length > 0) throw new Error(`README of ${name}: links with no host: ${relative}`);
}
