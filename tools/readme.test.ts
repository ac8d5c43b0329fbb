import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readmeExamplesOf } from "./readme-examples.ts";

const packages = fileURLToPath(new URL("../packages", import.meta.url));

describe.each(readdirSync(packages))("the README of %s", (name) => {
  const examples = readmeExamplesOf(`${packages}/${name}/README.md`).map((_, index) => index);

  it("has an example", () => expect(examples.length).toBeGreaterThan(0));

  it.each(examples)("has an example %i that runs", async (index) => {
    await import(/* @vite-ignore */ `${packages}/${name}/README.example-${index}.ts`);
  });
});

const docs = fileURLToPath(new URL("../docs", import.meta.url));

it.each(["custom-operation"])("the code of docs/%s.md runs", async (name) => {
  await import(/* @vite-ignore */ `${docs}/${name}.page.ts`);
});
