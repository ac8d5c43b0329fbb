import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/** A path from the repository's root. */
export const at = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** A page with a heading, and more front matter if it needs some. */
export const page = (title, body, matter = {}) => ({
  matter: { title, ...matter },
  body: `# ${title}\n\n${body}`,
});

/** Writes a page below `docs`. `matter` has strings only. */
export function write(path, { matter, body }) {
  const file = at(`docs/${path}`);
  mkdirSync(dirname(file), { recursive: true });
  const lines = Object.entries(matter).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  writeFileSync(file, `---\n${lines.join("\n")}\neditLink: false\n---\n\n${body}\n`);
}

/** A table whose cells are Markdown. */
export function table(columns, rows) {
  const line = (cells) =>
    `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
}
