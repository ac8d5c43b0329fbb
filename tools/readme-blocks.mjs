import { readFileSync } from "node:fs";

/** The fenced blocks of a page in one language. */
export function blocksOf(page, language) {
  const fenced = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms");
  return Array.from(readFileSync(page, "utf8").matchAll(fenced), ([, code]) => code);
}

/** The blocks of a README that stand on their own: those that import packages and no file of the reader's. */
export function readmeExamplesOf(readme) {
  return blocksOf(readme, "ts").filter(
    (code) => code.startsWith("import ") && !code.includes('from "./'),
  );
}
