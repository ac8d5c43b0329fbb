import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import esbuild from "esbuild";
import * as vite from "vite";
import { budgets, shakes } from "./budgets.mjs";
import { projectFolder } from "./projects.mjs";

/**
 * Bundles a package for browsers, with everything it exports, by Vite and by esbuild; a warning of either is a failure.
 * @param {{ name: string, folder: string }} project
 * @returns {Promise<{ vite?: number, esbuild?: number }>} bytes, minified and gzipped; empty where a package is not for browsers
 */
export async function bundle({ name, folder }) {
  if (budgets[name]?.bundle === undefined) return {};
  const code = `import * as all from "${name}";\nglobalThis.all = all;\n`;
  const [byVite, byEsbuild] = await bundleTwice(folder, "everything", code);
  return { vite: gzipSync(byVite).length, esbuild: gzipSync(byEsbuild).length };
}

/**
 * Bundles a few names of a package and looks at what came along; and a mere import of each, of which nothing may be left.
 * @param {string} projects
 */
export async function checkShaking(projects) {
  const browser = Object.keys(budgets).filter((name) => budgets[name].bundle !== undefined);
  for (const name of browser) {
    for (const text of await bundleTwice(
      projectFolder(projects, name),
      "nothing",
      `import "${name}";\n`,
    )) {
      if (text.trim() !== "") {
        throw new Error(
          `An import of ${name} alone leaves ${text.length} bytes: ${text.slice(0, 200)}`,
        );
      }
    }
  }
  for (const { from, names, bundle: most, absent } of shakes) {
    const folder = projectFolder(projects, from);
    const code = `import { ${names.join()} } from "${from}";\nglobalThis.used = [${names.join()}];\n`;
    const texts = await bundleTwice(folder, names.join("-"), code);
    const sizes = texts.map((text) => (gzipSync(text).length / 1024).toFixed(1)).join(" and ");
    console.log(`${" ".repeat(10)}${names.join(", ")}: ${sizes} of ${most} KiB`);
    for (const text of texts) {
      const kib = gzipSync(text).length / 1024;
      if (kib > most) throw new Error(`${names.join()} of ${from}: ${kib} KiB, may be ${most}`);
      const found = absent.filter((one) => text.includes(one));
      if (found.length > 0) throw new Error(`${names.join()} of ${from} brings ${found.join()}`);
    }
  }
}

/** The code of one bundle by Vite and of one by esbuild. */
async function bundleTwice(folder, title, code) {
  const root = join(folder, "bundles");
  await mkdir(root, { recursive: true });
  const entry = join(root, `${title}.js`);
  await writeFile(entry, code);
  return [await viteBundle(root, entry), await esbuildBundle(entry)];
}

async function esbuildBundle(entry) {
  const { outputFiles, warnings } = await esbuild.build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    // An import for nothing is what one of the checks is about.
    logOverride: { "ignored-bare-import": "silent" },
    logLevel: "silent",
  });
  if (warnings.length > 0) throw new Error(`esbuild: ${entry}: ${warnings[0].text}`);
  return outputFiles[0].text;
}

async function viteBundle(root, entry) {
  const warnings = [];
  const warn = (text) => warnings.push(text);
  const logger = {
    info() {},
    clearScreen() {},
    warn,
    warnOnce: warn,
    error: warn,
    hasWarned: false,
    hasErrorLogged: () => false,
  };
  const output = await vite.build({
    root,
    configFile: false,
    customLogger: logger,
    logLevel: "warn",
    build: {
      target: "es2022",
      write: false,
      modulePreload: false,
      chunkSizeWarningLimit: 10_000,
      rolldownOptions: { input: entry },
    },
  });
  if (warnings.length > 0) throw new Error(`Vite: ${entry}: ${warnings[0]}`);
  return output.output
    .filter(({ type }) => type === "chunk")
    .map((chunk) => chunk.code)
    .join("");
}
