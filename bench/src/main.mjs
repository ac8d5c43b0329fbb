/**
 * Measures ours beside other runtimes and beside the machine's limits, and says which targets are met. See ../README.md.
 *
 *     node src/main.mjs [--quick] [--only GROUP,GROUP] [--list]
 */
import { mkdir, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { Incorrect } from "./contender.mjs";
import { groups } from "./groups/index.mjs";
import { describeMachine } from "./machine.mjs";
import { markdown, plainTable } from "./report.mjs";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    list: { type: "boolean", default: false },
  },
});
const { quick } = values;
const chosen = chooseGroups(values.only);

if (values.list) console.log(Object.keys(groups).join("\n"));
else process.exitCode = await main();

function chooseGroups(only) {
  const names = only?.split(",") ?? Object.keys(groups);
  const unknown = names.find((name) => !Object.hasOwn(groups, name));
  if (unknown === undefined) return names;
  console.error(`There is no group ${unknown}; groups are ${Object.keys(groups).join(", ")}.`);
  process.exit(2);
}

/** Returns the exit status: 1 when a kernel was wrong, 0 otherwise, whether or not targets are met. */
async function main() {
  const machine = await describeMachine({ quick, progress: progressOf("limits") });
  const report = { machine, rows: [], tables: [] };
  const failures = [];
  // The saved report is always of one run: its rows are only comparable because they were measured together.
  const saved = !quick && !values.only;
  for (const name of chosen) {
    const started = performance.now();
    const { rows, failure } = await runGroup(name, report);
    report.rows.push(...rows);
    if (failure) failures.push(`${name}: ${failure}`);
    // After every group, so that an interrupted run is not lost.
    if (saved && failures.length === 0) await save(report);
    progressOf(name)(`done in ${((performance.now() - started) / 1e3).toFixed(0)} s`);
  }
  console.log(plainTable(report));
  for (const failure of failures) console.error(`WRONG RESULT in ${failure}`);
  return failures.length > 0 ? 1 : 0;
}

async function runGroup(name, { machine, tables }) {
  try {
    const context = { quick, machine, tables, progress: progressOf(name) };
    return { rows: await groups[name](context) };
  } catch (error) {
    if (error instanceof Incorrect) return { rows: [], failure: error.message };
    throw error;
  }
}

function progressOf(name) {
  return (text) => process.stderr.write(`${name}: ${text}\n`);
}

async function save(report) {
  const folder = new URL("../results/", import.meta.url);
  await mkdir(folder, { recursive: true });
  const tables = report.tables.map(({ title, columns, rows }) => ({
    title,
    rows: rows.map((cells) => Object.fromEntries(cells.map((cell, i) => [columns[i], cell]))),
  }));
  const json = JSON.stringify({ ...report, tables }, null, 2);
  await writeFile(new URL("latest.json", folder), `${json}\n`);
  await writeFile(new URL("latest.md", folder), markdown(report));
}
