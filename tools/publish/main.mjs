/**
 * `npm run test:publish`: releases a copy of this repository to a registry of its own, then installs each package from there into an empty project
 * and uses it the ways people do: import, require, the examples of its README, types, bundles for browsers. Prints what was published, how
 * large it is and how long each part took; fails at the first thing that does not work. Nothing in the tree changes.
 */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repository } from "../packed/packages.mjs";
import { bundle, checkShaking } from "./bundles.mjs";
import { checkBudgets } from "./check-budgets.mjs";
import { Processes } from "./processes.mjs";
import { createProject } from "./projects.mjs";
import { startRegistry } from "./registry.mjs";
import { release } from "./release.mjs";
import { checkTypes } from "./types.mjs";

const processes = new Processes();
let interrupted = false;
const folder = await mkdtemp(join(tmpdir(), "transmla-publish-"));
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
]) {
  process.once(signal, async () => {
    interrupted = true;
    processes.stopAll();
    await remove(folder);
    process.exit(code);
  });
}

let registry;
try {
  registry = await timed("registry", () =>
    startRegistry(join(folder, "registry"), configuredNpm()),
  );
  const published = await timed("version and publish", () =>
    release(processes, join(folder, "repository"), registry),
  );
  const projects = join(folder, "projects");
  const sizes = [];
  for (const one of published) {
    const project = await timed(`${one.name}@${one.manifest.version}`, async () => {
      const made = await createProject(processes, projects, one, registry);
      return { ...made, ...(await bundle(made, one)) };
    });
    sizes.push(project);
  }
  await timed("types: node16 and bundler", () => checkTypes(processes, projects, published));
  await timed("tree shaking", () => checkShaking(projects));
  checkBudgets(sizes);
  console.log(`${published.length} passed, 0 failed`);
} catch (error) {
  // What fails because it was stopped says nothing.
  if (!interrupted) console.error(error instanceof Error ? error.stack : error);
  process.exitCode = 1;
} finally {
  processes.stopAll();
  await registry?.close();
  await remove(folder);
}

/** Runs a part and says how long it took. */
async function timed(what, part) {
  const start = performance.now();
  const result = await part();
  console.log(`${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s  ${what}`);
  return result;
}

/** What npm is set to use here, read where it is set: settings of a project do not reach the temporary folder. */
function configuredNpm() {
  const names = ["registry", "cafile", "cache", "https-proxy"];
  const output = execFileSync("npm", ["config", "list", "--long", "--json"], {
    cwd: repository,
    encoding: "utf8",
  });
  const settings = JSON.parse(output);
  return Object.fromEntries(names.map((name) => [name, settings[name] ?? ""]));
}

/** Programs that are being ended may still write for a moment. */
function remove(path) {
  return rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
