import { readFileSync } from "node:fs";
import { markdown as benchMarkdown } from "../../bench/src/report.mjs";
import { markdown as fidelityMarkdown } from "../../bench/src/fidelity/table.mjs";
import { at } from "./pages.mjs";

const results = (name) => JSON.parse(readFileSync(at(`bench/results/${name}.json`), "utf8"));
/** A report without its own heading and the line that says what wrote it. */
const body = (report) => report.replace(/^# .*\n\n.*\n\n/, "");

/** What each conversion keeps: the cells of the table that were measured with the present method. */
export function fidelity() {
  const { cells } = results("fidelity");
  return [
    "Perplexity and divergence on held-out text, without any training. *Gap* is the difference of log-perplexity to the original; *of transmla's* is that gap divided by the published method's at the same size. Rows *without* a step show what the step is worth. Cells that an older version of a method measured are left out until they are measured again, by `npm run bench:fidelity`.",
    body(fidelityMarkdown(cells, {})),
  ].join("\n\n");
}

/** The saved report keeps the rows of its tables as objects, with the columns as keys. */
function latest() {
  const report = results("latest");
  const tables = report.tables.map(({ title, rows }) => ({
    title,
    columns: Object.keys(rows[0] ?? {}),
    rows: rows.map((row) => Object.values(row)),
  }));
  return { ...report, tables };
}

/** Speed beside other runtimes and the machine's limits. */
export function benchmarks() {
  return [
    "Measured in turns, in one run, on one machine, by `npm run bench`; a target that was missed says so. [What the rows mean and how to read noise](https://github.com/transmla/transmla/blob/main/bench/README.md); [serving](./serve) and [training](./training) have reports of their own.",
    body(benchMarkdown(latest())),
  ].join("\n\n");
}
