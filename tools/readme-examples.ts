import type { Plugin } from "vitest/config";
import { readmeExamplesOf } from "./readme-blocks.mjs";

const pattern = /^(.*)\/README\.example-(\d+)\.ts$/;

function sourceOf(id: string): string | undefined {
  const [, folder, index] = pattern.exec(id) ?? [];
  if (folder === undefined) return undefined;
  return readmeExamplesOf(`${folder}/README.md`)[Number(index)];
}

/** Lets a test import example `n` of a README as `<folder>/README.example-n.ts`, so that what people copy is what runs. */
export function readmeExamples(): Plugin {
  return {
    name: "readme-examples",
    enforce: "pre",
    resolveId: (id) => (pattern.test(id) ? id : undefined),
    load: sourceOf,
  };
}
