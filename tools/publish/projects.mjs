import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import ts from "typescript";
import { checkManifest } from "./manifests.mjs";
import { blocksOf, readmeExamplesOf } from "../readme-blocks.mjs";

const nodeModule = /^[^:]+:/;

/**
 * Somebody's project: the package alone in an empty folder, imported and required; then what its README tells to install, and its examples.
 * @param {import("./processes.mjs").Processes} processes
 * @param {string} projects the folder of all projects
 * @param {{ name: string, folder: string, manifest: Record<string, any>, readme: string }} one
 * @param {{ environment: Record<string, string | undefined> }} registry
 * @returns {Promise<{ name: string, folder: string, packed: number, entries: string[] }>} `packed` in bytes; `entries` are the modules that can
 *   be imported with nothing else installed
 */
export async function createProject(processes, projects, one, registry) {
  const { name, manifest, readme } = one;
  const folder = projectFolder(projects, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  const run = (command, ...args) =>
    processes.run(command, args, { cwd: folder, env: registry.environment });
  // Without scripts: the only packages that have any are optional, and build native code that is not used.
  const install = (names) =>
    run("npm", "install", "--ignore-scripts", "--prefer-offline", "--no-package-lock", ...names);

  await install([name]);
  await checkManifest(join(folder, "node_modules", name), one);
  const entries = entriesOf(name, manifest);
  await importAndRequire(run, folder, entries);
  if (manifest.bin) await runCommand(run, folder, manifest);

  const examples = readmeExamplesOf(readme);
  if (examples.length > 0) {
    const wanted = installLine(readme);
    checkImports(name, examples, wanted);
    if (wanted.length > 1) await install(wanted);
    for (const [index, code] of examples.entries()) {
      await writeFile(join(folder, `example-${index}.ts`), code);
      await writeFile(join(folder, `example-${index}.js`), withoutTypes(code));
      await run("node", `example-${index}.js`);
    }
  }
  const packed = await packedSize(registry.url, name, manifest.version);
  return { name, folder, packed, entries };
}

/** @param {string} name */
export function projectFolder(projects, name) {
  return join(projects, name.replace("@", "").replace("/", "-"));
}

/** The modules of a package that need nothing but it: those for tests want vitest, and binaries are no modules. */
export function entriesOf(name, { exports = {} }) {
  return Object.entries(exports)
    .filter(([path, target]) => typeof target === "object" && path !== "./conformance")
    .map(([path]) => name + path.slice(1));
}

async function importAndRequire(run, folder, entries) {
  if (entries.length === 0) return;
  await writeFile(
    join(folder, "names.js"),
    `const entries = ${JSON.stringify(entries)};
for (const entry of entries) console.log(entry, Object.keys(await import(entry)).sort().join());\n`,
  );
  await writeFile(
    join(folder, "names.cjs"),
    `const entries = ${JSON.stringify(entries)};
for (const entry of entries) console.log(entry, Object.keys(require(entry)).sort().join());\n`,
  );
  const [imported, required] = [await run("node", "names.js"), await run("node", "names.cjs")];
  if (imported !== required) {
    throw new Error(`${entries[0]}: import and require differ:\n${imported}${required}`);
  }
}

/** The command answers, knows its version, and does its main job offline. */
async function runCommand(run, folder, { name, version }) {
  const command = join(folder, "node_modules", ".bin", name);
  const printed = (await run(command, "--version")).trim();
  if (printed !== version) throw new Error(`${name} --version says ${printed}, not ${version}`);
  await run(command, "inspect", "sample");
  await run(command, "convert", "sample", "converted", "--method", "exact", "--quiet");
  await run(command, "generate", "converted", "--prompt", "ROMEO:", "--max-tokens", "8", "--quiet");
}

/** What a README tells to install. */
function installLine(readme) {
  const lines = blocksOf(readme, "sh").join("").split("\n");
  const line = lines.find((one) => one.startsWith("npm install @"));
  if (line === undefined) throw new Error(`${readme} does not say what to install.`);
  return line.replace(/#.*/, "").trim().split(/\s+/).slice(2);
}

/** Examples may import only what the README tells to install: not every package manager lets others through. */
function checkImports(name, examples, wanted) {
  const imported = examples.flatMap((code) =>
    Array.from(code.matchAll(/^.*? from "([^"]+)";$/gm), ([, module]) => module),
  );
  const missing = imported.filter(
    (module) =>
      !nodeModule.test(module) && !wanted.some((one) => `${module}/`.startsWith(`${one}/`)),
  );
  if (missing.length > 0) {
    throw new Error(`README of ${name}: install line lacks ${[...new Set(missing)].join(" ")}`);
  }
}

function withoutTypes(code) {
  const compilerOptions = { target: "ES2022", module: "ESNext", verbatimModuleSyntax: true };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

/** Bytes that are downloaded to install a package, without what it depends on. */
async function packedSize(url, name, version) {
  const { versions } = await (await fetch(url + name.replace("/", "%2f"))).json();
  const tarball = await fetch(versions[version].dist.tarball);
  return (await tarball.arrayBuffer()).byteLength;
}
