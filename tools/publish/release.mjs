import { cp, readFile, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { publishedPackages, repository } from "../packed/packages.mjs";

const leftOut = new Set([".git", "node_modules", ".turbo", ".cache", "golden", "results"]);

/**
 * Releases a copy of this repository, as the release workflow does: `changeset version`, then `changeset publish`. Versions, change logs and
 * git tags are the copy's; the tree itself stays as it is.
 * @param {import("./processes.mjs").Processes} processes
 * @param {string} copy where the copy is made
 * @param {{ url: string, environment: Record<string, string | undefined> }} registry
 * @returns {Promise<{ name: string, folder: string, manifest: Record<string, any>, readme: string }[]>} the packages as published
 */
export async function release(processes, copy, registry) {
  await cp(repository, copy, {
    recursive: true,
    filter: (path) => !leftOut.has(basename(path)),
  });
  await symlink(join(repository, "node_modules"), join(copy, "node_modules"));
  const git = ["-c", "user.name=release", "-c", "user.email=release@localhost"];
  const environment = { ...registry.environment, GIT_CONFIG_GLOBAL: "/dev/null" };
  const run = (command, ...args) => processes.run(command, args, { cwd: copy, env: environment });
  await run("git", "init", "--quiet", "--initial-branch=main");
  await run("git", "add", "--all");
  await run("git", ...git, "commit", "--quiet", "--message=before the release");

  const before = publishedPackages(copy);
  const changeset = join("node_modules", "@changesets", "cli", "bin.js");
  await run("node", changeset, "version");
  await run("git", "add", "--all");
  await run("git", ...git, "commit", "--quiet", "--message=versions");
  await run("node", changeset, "publish", "--no-git-tag");

  const after = publishedPackages(copy);
  for (const { name, folder, manifest } of after) {
    const { version } = before.find((one) => one.name === name).manifest;
    if (version !== manifest.version) await checkChangeLog(join(copy, folder), manifest);
    await checkPublished(registry.url, name, manifest.version);
  }
  return after.map((one) => ({ ...one, readme: join(repository, one.folder, "README.md") }));
}

/** A package with a new version says what is new in it. */
async function checkChangeLog(folder, { name, version }) {
  const log = await readFile(join(folder, "CHANGELOG.md"), "utf8");
  const [, entry = ""] = log.split(`\n## ${version}\n`);
  if (!log.startsWith(`# ${name}\n`) || entry.split("\n## ")[0].trim() === "") {
    throw new Error(`${name}: CHANGELOG.md says nothing of ${version}.`);
  }
}

async function checkPublished(url, name, version) {
  const response = await fetch(url + name.replace("/", "%2f"));
  const latest = response.ok ? (await response.json())["dist-tags"].latest : response.status;
  if (latest !== version) throw new Error(`${name}@${version} is not published: ${latest}`);
}
