import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readmeExamplesOf } from "./readme-blocks.mjs";

const packages = fileURLToPath(new URL("../packages", import.meta.url));

describe.each(readdirSync(packages))("the README of %s", (name) => {
  const examples = readmeExamplesOf(`${packages}/${name}/README.md`).map((_, index) => index);

  it("has an example", () => expect(examples.length).toBeGreaterThan(0));

  it.each(examples)("has an example %i that runs", async (index) => {
    await import(/* @vite-ignore */ `${packages}/${name}/README.example-${index}.ts`);
  });
});

// Here on the sources; `npm run test:examples` runs it with all the others on the packages.
it("the code of docs/custom-operation.md runs", async () => {
  const example = "../docs/examples/custom-operation/custom-operation.mjs";
  await import(/* @vite-ignore */ example);
});
