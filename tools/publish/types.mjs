import { writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { repository } from "../packed/packages.mjs";
import { readmeExamplesOf } from "../readme-blocks.mjs";
import { entriesOf, projectFolder } from "./projects.mjs";

const common = {
  strict: true,
  noEmit: true,
  target: "ES2022",
  lib: ["ES2023", "DOM", "DOM.Iterable", "DOM.AsyncIterable"],
  types: ["node"],
  // The declarations themselves are checked too.
  skipLibCheck: false,
};

const modes = {
  node16: { module: "Node16", moduleResolution: "Node16" },
  bundler: { module: "ESNext", moduleResolution: "Bundler" },
};

/**
 * Checks the declarations of all packages as installed in their projects, with imports, with requires and with the examples of their READMEs, as
 * Node and as bundlers resolve them.
 * @param {import("./processes.mjs").Processes} processes
 * @param {string} projects
 * @param {{ name: string, manifest: Record<string, any>, readme: string }[]} published
 */
export async function checkTypes(processes, projects, published) {
  const files = [];
  for (const { name, manifest, readme } of published) {
    const folder = projectFolder(projects, name);
    const entries = entriesOf(name, manifest);
    if (entries.length === 0) continue;
    const uses = entries.map(
      (entry, i) => `import * as entry${i} from "${entry}";\nexport const use${i} = entry${i};\n`,
    );
    for (const file of ["imported.mts", "required.cts"]) {
      await writeFile(join(folder, file), uses.join(""));
      files.push(join(folder, file));
    }
    readmeExamplesOf(readme).forEach((_, i) => files.push(join(folder, `example-${i}.ts`)));
  }
  const typeRoots = [join(repository, "node_modules", "@types")];
  for (const [mode, options] of Object.entries(modes)) {
    const config = {
      compilerOptions: { ...common, ...options, typeRoots },
      files: files.map((file) => relative(projects, file)),
    };
    await writeFile(join(projects, `tsconfig.${mode}.json`), JSON.stringify(config));
    const compiler = join(repository, "node_modules", "typescript", "bin", "tsc");
    await processes.run("node", [compiler, "--project", `tsconfig.${mode}.json`], {
      cwd: projects,
    });
  }
}
