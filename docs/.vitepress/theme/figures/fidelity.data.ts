import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
// @ts-expect-error: plain JavaScript without declarations
import { allCells, isCurrent, labelOf } from "../../../../bench/src/fidelity/cells.mjs";
// @ts-expect-error: plain JavaScript without declarations
import { meanPerplexity } from "../../../../bench/src/fidelity/table.mjs";

const file = fileURLToPath(new URL("../../../../bench/results/fidelity.json", import.meta.url));

/** Perplexity of the sample model by method and part of the cache, as `npm run bench:fidelity` measured it; the mean of all seeds. */
export interface FidelityPoint {
  readonly method: string;
  readonly kept: number;
  readonly perplexity: number;
  readonly original: number;
}

interface Cell {
  readonly subject: string;
  readonly method: string;
  readonly block: string;
  readonly context: number;
  readonly keep: number;
  readonly without?: string;
}

declare const data: readonly FidelityPoint[];
export { data };

export default {
  watch: [file],
  load(): readonly FidelityPoint[] {
    const { cells } = JSON.parse(readFileSync(file, "utf8"));
    const found = new Map<string, FidelityPoint[]>();
    for (const cell of allCells() as readonly Cell[]) {
      const saved = cells[labelOf(cell)];
      const isWanted =
        cell.subject === "sample" &&
        cell.block === "native" &&
        cell.context === 512 &&
        cell.without === undefined;
      if (!isWanted || !isCurrent(saved, cell)) continue;
      const { perplexity, original, keptFraction: kept } = saved.result;
      const { method } = cell;
      const name = `${method} ${cell.keep}`;
      found.set(name, [...(found.get(name) ?? []), { method, kept, perplexity, original }]);
    }
    return [...found.values()]
      .map((seeds) => ({
        ...seeds[0],
        perplexity: meanPerplexity(seeds.map(({ perplexity }) => perplexity)),
      }))
      .toSorted((a, b) => a.kept - b.kept);
  },
};
