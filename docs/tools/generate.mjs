/**
 * Writes the pages that are made of something else, before VitePress reads them: a page per package (which includes its README), the
 * error catalogue, tables of measurements, and the API by TypeDoc. All of them are ignored by git.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { writeApi } from "./api.mjs";
import { errorCatalogue } from "./errors.mjs";
import { benchmarks, fidelity } from "./measurements.mjs";
import { at, page, write } from "./pages.mjs";
import { trust } from "./trust.mjs";

for (const folder of ["packages", "reference", "api"]) {
  rmSync(at(`docs/${folder}`), { recursive: true, force: true });
}

const published = ["packages", "apps"]
  .flatMap((parent) => readdirSync(at(parent)).map((name) => `${parent}/${name}`))
  .map((folder) => ({ folder, ...JSON.parse(readFileSync(at(`${folder}/package.json`), "utf8")) }))
  .filter((manifest) => !manifest.private);

await writeApi(published);
for (const { folder, name, exports } of published) {
  const short = shortName(name);
  const source = `${folder}/README.md`;
  write(`packages/${short}.md`, {
    matter: { title: name, source },
    body: `<!--@include: ../../${source}-->\n\n${exports ? apiLink(short) : ""}`,
  });
}
write("packages/index.md", {
  matter: { title: "Packages" },
  body: packageList(published),
});
write("reference/errors.md", page("Errors", await errorCatalogue(published)));
write("reference/trust.md", page("Trust", trust(), { pageClass: "wide" }));
write("reference/fidelity.md", page("Fidelity", fidelity(), { pageClass: "wide" }));
write("reference/benchmarks.md", page("Benchmarks", benchmarks(), { pageClass: "wide" }));
for (const [name, title] of [
  ["serve", "Serving"],
  ["training", "Training"],
]) {
  const source = `bench/results/${name}.md`;
  write(`reference/${name}.md`, {
    matter: { title, source },
    body: `<!--@include: ../../${source}-->`,
  });
}

function shortName(name) {
  return name.replace("@transmla/", "");
}

/** A package with several entry points has a folder. */
function apiLink(short) {
  const isFolder = existsSync(at(`docs/api/${short}/index.md`));
  return `[Every export](/api/${short}${isFolder ? "/" : ""})`;
}

function packageList(packages) {
  const rows = packages.map(
    ({ name, description }) => `| [\`${name}\`](./${shortName(name)}) | ${description} |`,
  );
  return [
    "# Packages",
    "Each is published on its own and useful alone. Install what you need; npm brings what that stands on.",
    `| package | |\n|---|---|\n${rows.join("\n")}`,
    "Bytes of a checkpoint become tensors (`tensor-io`), tensors become a model on a device (`models`, `kernels`), statistics of that model become a smaller attention (`conversion`, `low-rank`), and the smaller attention runs from a latent cache (`latent-cache`).",
  ].join("\n\n");
}
