/**
 * Experiments of training on the sample model: `npm run bench:training`. Everything it learns from comes with the sample
 * model or is made here. `--only heal,arithmetic` runs some, `--seeds 3` how often, `--list` names them. Results of those
 * that ran replace theirs in results/training.json and .md.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { arithmetic } from "./arithmetic.mjs";
import { expressiveness } from "./expressiveness.mjs";
import { heal } from "./heal.mjs";
import { memory } from "./memory.mjs";
import { openSample } from "./setup.mjs";
import { markdown } from "./table.mjs";
import { throughput } from "./throughput.mjs";

const experiments = { throughput, memory, heal, expressiveness, arithmetic };
const results = new URL("../../results/", import.meta.url);

const { values } = parseArgs({
  options: {
    only: { type: "string", default: Object.keys(experiments).join() },
    seeds: { type: "string", default: "3" },
    list: { type: "boolean", default: false },
  },
});

async function main() {
  if (values.list) return console.log(Object.keys(experiments).join("\n"));
  const names = values.only.split(",");
  const unknown = names.find((name) => !Object.hasOwn(experiments, name));
  if (unknown !== undefined) {
    console.error(`There is no experiment ${unknown}; --list names them.`);
    process.exitCode = 2;
    return;
  }
  const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => i + 1);
  const sample = await openSample();
  const all = await readResults();
  for (const name of names) {
    const progress = (text) => console.error(`${name}: ${text}`);
    const result = await experiments[name](sample, { seeds, progress });
    // The bench itself keeps two cores busy: with more beside it, times say little.
    all[name] = { ...result, load: loadavg()[0], date: new Date().toISOString() };
    await replace("training.json", `${JSON.stringify(all, null, 2)}\n`);
    await replace("training.md", markdown(all));
  }
  console.log(markdown(Object.fromEntries(names.map((name) => [name, all[name]]))));
  await sample.files.close();
  sample.device.destroy();
}

async function readResults() {
  try {
    return JSON.parse(await readFile(new URL("training.json", results), "utf8"));
  } catch (error) {
    if (error.code === "ENOENT") return {};
    throw error;
  }
}

/** In one move, so that an interrupted run leaves the old or the new file. */
async function replace(name, text) {
  const part = new URL(`${name}.part-${process.pid}`, results);
  await writeFile(part, text);
  await rename(part, new URL(name, results));
}

await main();
