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

/** Names of modules that are code of a page, and where that code is. */
const sources: readonly (readonly [RegExp, (path: string, index: string) => string | undefined])[] =
  [
    [
      /^(.*)\/README\.example-(\d+)\.ts$/,
      (folder, index) => readmeExamplesOf(`${folder}/README.md`)[Number(index)],
    ],
    // All blocks of a page, one after the other.
    [/^(.*)\.page()\.ts$/, (path) => blocksOf(`${path}.md`).join("\n")],
  ];

function sourceOf(id: string): string | undefined {
  for (const [pattern, read] of sources) {
    const [, path, index] = pattern.exec(id) ?? [];
    if (path !== undefined) return read(path, index!);
  }
  return undefined;
}

/**
 * Lets a test import example `n` of a README as `<folder>/README.example-n.ts` and the code of a page as `<page>.page.ts`, so that what
 * people copy is what runs.
 */
export function readmeExamples(): Plugin {
  return {
    name: "readme-examples",
    enforce: "pre",
    resolveId: (id) => (sources.some(([pattern]) => pattern.test(id)) ? id : undefined),
    load: sourceOf,
  };
}
