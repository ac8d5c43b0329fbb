/**
 * Writes the pages that are made of something else, before VitePress reads them: a page per package (which includes its README), the
 * error catalogue, tables of measurements, and the API by TypeDoc. All of them are ignored by git.
 */
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { writeApi } from "./api.mjs";
import { errorCatalogue } from "./errors.mjs";
import { benchmarks, fidelity } from "./measurements.mjs";
import { at, page, write } from "./pages.mjs";

for (const folder of ["packages", "reference", "api"]) {
  rmSync(at(`docs/${folder}`), { recursive: true, force: true });
}

const published = ["packages", "apps"]
  .flatMap((parent) => readdirSync(at(parent)).map((name) => `${parent}/${name}`))
  .map((folder) => ({ folder, ...JSON.parse(readFileSync(at(`${folder}/package.json`), "utf8")) }))
  .filter((manifest) => !manifest.private);

for (const { folder, name } of published) {
  const source = `${folder}/README.md`;
  write(`packages/${name.replace("@transmla/", "")}.md`, {
    matter: { title: name, source },
    body: `<!--@include: ../../${source}-->`,
  });
}
write("packages/index.md", {
  matter: { title: "Packages" },
  body: packageList(published),
});
write("reference/errors.md", page("Errors", await errorCatalogue(published)));
write("reference/fidelity.md", page("Fidelity", fidelity()));
write("reference/benchmarks.md", page("Benchmarks", benchmarks()));
await writeApi(published);

function packageList(packages) {
  const rows = packages.map(
    ({ name, description }) =>
      `| [\`${name}\`](./${name.replace("@transmla/", "")}) | ${description} |`,
  );
  return [
    "# Packages",
    "Each is published on its own and useful alone. Install what you need; npm brings what that stands on.",
    `| package | |\n|---|---|\n${rows.join("\n")}`,
    "Bytes of a checkpoint become tensors (`tensor-io`), tensors become a model on a device (`models`, `kernels`), statistics of that model become a smaller attention (`conversion`, `low-rank`), and the smaller attention runs from a latent cache (`latent-cache`).",
  ].join("\n\n");
}
