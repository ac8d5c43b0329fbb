import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const packages = fileURLToPath(new URL("../packages", import.meta.url));

it.each(readdirSync(packages))("the example in the README of %s runs", async (name) => {
  expect(existsSync(`${packages}/${name}/README.md`)).toBe(true);
  await import(/* @vite-ignore */ `${packages}/${name}/README.example.ts`);
});
