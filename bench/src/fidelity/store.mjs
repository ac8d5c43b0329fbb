import { mkdir, readFile, rename, writeFile } from "node:fs/promises";

const results = new URL("../../results/", import.meta.url);

/** Finished cells by label. */
export async function readCells() {
  try {
    return JSON.parse(await readFile(new URL("fidelity.json", results), "utf8")).cells;
  } catch (error) {
    if (error.code === "ENOENT") return {};
    throw error;
  }
}

/** Writes all cells and the table, each in one move, so that an interrupted run leaves the old or the new one. */
export async function save(cells, table) {
  await mkdir(results, { recursive: true });
  const sorted = Object.fromEntries(Object.entries(cells).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  await replace("fidelity.json", `${JSON.stringify({ cells: sorted }, null, 2)}\n`);
  await replace("fidelity.md", table);
}

async function replace(name, text) {
  const part = new URL(`${name}.part-${process.pid}`, results);
  await writeFile(part, text);
  await rename(part, new URL(name, results));
}
