import { existsSync } from "node:fs";
import { Application } from "typedoc";
import { at } from "./pages.mjs";

/** Writes a page per export of every library into `docs/api`. */
export async function writeApi(packages) {
  const entryPoints = packages
    .filter(({ exports }) => exports)
    .flatMap(({ folder, exports }) =>
      Object.keys(exports)
        .filter((path) => !/\.(?:json|wasm)$|\*/.test(path))
        .map((path) => entryPointOf(folder, path)),
    );
  const app = await Application.bootstrapWithPlugins({
    plugin: ["typedoc-plugin-markdown"],
    entryPoints,
    tsconfig: at("tsconfig.json"),
    name: "API",
    readme: "none",
    out: at("docs/api"),
    router: "module",
    entryFileName: "index",
    hideBreadcrumbs: true,
    hidePageHeader: true,
    pageTitleTemplates: { module: ({ name }) => `@transmla/${name}` },
    groupOrder: ["Functions", "Classes", "Interfaces", "Type Aliases", "Variables"],
    useCodeBlocks: true,
    expandParameters: true,
    parametersFormat: "table",
    tableColumnSettings: { hideDefaults: true },
    interfacePropertiesFormat: "table",
    typeAliasPropertiesFormat: "table",
    disableGit: true,
    disableSources: true,
    excludeInternal: true,
    excludePrivate: true,
    skipErrorChecking: true,
    sanitizeComments: true,
    logLevel: "Warn",
  });
  const project = await app.convert();
  if (!project) throw new Error("TypeDoc made nothing of the packages");
  // Modules are called by their places in the repository; readers know them by what they import.
  for (const module of project.children ?? []) {
    module.name = module.name.replace("/src", "").replace(/\/index$/, "");
  }
  await app.generateOutputs(project);
}

function entryPointOf(folder, path) {
  const name = path.replace(/^\.\/?/, "");
  const candidates = [`${folder}/src/${name}/index.ts`, `${folder}/src/${name}.ts`];
  const found = candidates.map(at).find((file) => existsSync(file));
  if (!found) throw new Error(`${folder} exports ${path}, whose source was not found`);
  return found;
}
