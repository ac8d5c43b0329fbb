import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
// @ts-expect-error: plain JavaScript without declarations
import { allCells, isCurrent, labelOf } from "../../../../bench/src/fidelity/cells.mjs";
// @ts-expect-error: plain JavaScript without declarations
import { subjects } from "../../../../bench/src/fidelity/subjects.mjs";
// @ts-expect-error: plain JavaScript without declarations
import { meanPerplexity } from "../../../../bench/src/fidelity/table.mjs";

const file = fileURLToPath(new URL("../../../../bench/results/fidelity.json", import.meta.url));

/** The models of the figure, as a reader knows them. */
const titles: Readonly<Record<string, string>> = {
  sample: "Sample model, 2.9 M parameters",
  smollm2: "SmolLM2-135M-Instruct",
};
const CONTEXT = 512;

/** One model, as `npm run bench:fidelity` measured it in the native layout at a context of 512. */
export interface FidelityPanel {
  readonly title: string;
  /** Perplexity of the original. */
  readonly original: number;
  /** Tokens of text that it was measured on. */
  readonly tokens: number;
  readonly points: readonly FidelityPoint[];
}

/** A conversion: perplexity by method and part of the cache, the mean of the seeds that are measured. */
export interface FidelityPoint {
  readonly method: string;
  readonly kept: number;
  readonly perplexity: number;
}

interface Cell {
  readonly subject: string;
  readonly method: string;
  readonly block: string;
  readonly context: number;
  readonly keep: number;
  readonly without?: string;
}

interface Result {
  readonly perplexity: number;
  readonly original: number;
}

declare const data: readonly FidelityPanel[];
export { data };

export default {
  watch: [file],
  load(): readonly FidelityPanel[] {
    const { cells } = JSON.parse(readFileSync(file, "utf8"));
    const shown = (allCells() as readonly Cell[]).filter(
      (cell) =>
        cell.block === "native" &&
        cell.context === CONTEXT &&
        cell.without === undefined &&
        isCurrent(cells[labelOf(cell)], cell),
    );
    return Object.entries(titles).flatMap(([subject, title]) => {
      const own = shown.filter((cell) => cell.subject === subject);
      const points = pointsOf(own, (cell) => cells[labelOf(cell)].result);
      // A method alone says nothing.
      if (new Set(points.map(({ method }) => method)).size < 2) return [];
      const { original }: Result = cells[labelOf(own[0])].result;
      return [{ title, original, tokens: subjects[subject].evaluationTokens, points }];
    });
  },
};

function pointsOf(cells: readonly Cell[], resultOf: (cell: Cell) => Result): FidelityPoint[] {
  const seeds = new Map<string, Cell[]>();
  for (const cell of cells) {
    const name = `${cell.method} ${cell.keep}`;
    seeds.set(name, [...(seeds.get(name) ?? []), cell]);
  }
  return [...seeds.values()]
    .map((group) => ({
      method: group[0].method,
      kept: group[0].keep,
      perplexity: meanPerplexity(group.map((cell) => resultOf(cell).perplexity)),
    }))
    .toSorted((a, b) => b.kept - a.kept);
}
