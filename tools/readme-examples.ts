import { readFileSync } from "node:fs";
import type { Plugin } from "vitest/config";

const id = /^(.*)\/README\.example-(\d+)\.ts$/;

/** The TypeScript blocks of a README that stand on their own: those that import packages and no file of the reader's. */
export function readmeExamplesOf(readme: string): string[] {
  const blocks = [...readFileSync(readme, "utf8").matchAll(/^```ts\n(.*?)^```$/gms)];
  return blocks
    .map(([, code]) => code!)
    .filter((code) => code.startsWith("import ") && !code.includes('from "./'));
}

/** Lets a test import example `n` of a README as `<folder>/README.example-n.ts`, so that what people copy is what runs. */
export function readmeExamples(): Plugin {
  return {
    name: "readme-examples",
    enforce: "pre",
    resolveId: (wanted) => (id.test(wanted) ? wanted : undefined),
    load(wanted) {
      const [, folder, index] = id.exec(wanted) ?? [];
      return folder === undefined
        ? undefined
        : readmeExamplesOf(`${folder}/README.md`)[Number(index)];
    },
  };
}
