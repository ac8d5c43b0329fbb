import { readFileSync } from "node:fs";
import type { Plugin } from "vitest/config";

const suffix = "/README.example.ts";

/** The first TypeScript block of a README. */
export function readmeExample(readme: string): string {
  const example = /^```ts\n(.*?)^```$/ms.exec(readFileSync(readme, "utf8"))?.[1];
  if (example === undefined) throw new Error(`${readme} has no \`\`\`ts block`);
  return example;
}

/** Lets a test import the example of a README as `<folder>/README.example.ts`, so that what people copy is what runs. */
export function readmeExamples(): Plugin {
  return {
    name: "readme-examples",
    enforce: "pre",
    resolveId: (id) => (id.endsWith(suffix) ? id : undefined),
    load: (id) =>
      id.endsWith(suffix) ? readmeExample(id.slice(0, -suffix.length) + "/README.md") : undefined,
  };
}
