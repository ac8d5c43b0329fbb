import { readFileSync } from "node:fs";
import type { Plugin } from "vitest/config";

/** The TypeScript blocks of a page. */
function blocksOf(page: string): string[] {
  const blocks = readFileSync(page, "utf8").matchAll(/^```ts\n(.*?)^```$/gms);
  return Array.from(blocks, ([, code]) => code!);
}

/** The blocks of a README that stand on their own: those that import packages and no file of the reader's. */
export function readmeExamplesOf(readme: string): string[] {
  return blocksOf(readme).filter(
    (code) => code.startsWith("import ") && !code.includes('from "./'),
  );
}

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
