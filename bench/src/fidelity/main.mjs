/**
 * How much of a model each conversion keeps, and what each step of ours is worth. See ../../README.md.
 *
 *     node src/fidelity/main.mjs [--only WORD,WORD] [--limit-minutes N] [--wikitext FOLDER] [--list]
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { hasWideVectors, relaxedFlags } from "../engine.mjs";
import { median } from "../measure.mjs";
import { allCells, isCurrent, labelOf, settingsOf } from "./cells.mjs";
import { readCells, save } from "./store.mjs";
import { fingerprint, locate, subjects } from "./subjects.mjs";
import { markdown, plain } from "./table.mjs";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    "limit-minutes": { type: "string", default: "Infinity" },
    wikitext: { type: "string", default: process.env["TRANSMLA_WIKITEXT"] ?? "" },
    list: { type: "boolean", default: false },
  },
});
async function main() {
  const limit = Number(values["limit-minutes"]) * 60;
  if (!(limit >= 0)) return refuse(`--limit-minutes ${values["limit-minutes"]} is no number.`);
  const cells = await readCells();
  const places = Object.keys(subjects).map((name) => [name, locate(name, values)]);
  const here = new Map(places.filter(([, { missing }]) => !missing));
  const inputs = {};
  for (const [name, place] of here) inputs[name] = await fingerprint(place);
  for (const [name, { missing }] of places) if (missing) say(`${name} is left out: ${missing}`);

  const chosen = allCells().filter((cell) => here.has(cell.subject) && isChosen(cell));
  if (chosen.length === 0) return refuse(`no cell that can be measured has all of: ${values.only}`);
  const isDone = (cell) => isCurrent(cells[labelOf(cell)], cell, inputs[cell.subject]);
  if (values.list) {
    for (const cell of chosen) console.log(`${isDone(cell) ? "done" : "open"}  ${labelOf(cell)}`);
    return 0;
  }
  const open = chosen.filter((cell) => !isDone(cell));
  say(`${chosen.length - open.length} of ${chosen.length} cells are done`);
  const status = await measureAll(open, { cells, here, inputs, limit });
  await save(cells, markdown(cells, inputs));
  console.log(plain(cells, inputs));
  return status;
}

/** A cell is chosen if its label has all the words, and none of those behind an exclamation mark. */
function isChosen(cell) {
  const label = labelOf(cell);
  const words = values.only.split(",").map((word) => word.trim());
  return words.every((word) =>
    word.startsWith("!") ? !label.includes(word.slice(1)) : label.includes(word),
  );
}

/** Measures and saves cell by cell; returns the exit status, 130 after Ctrl-C. */
async function measureAll(open, { cells, here, inputs, limit }) {
  for (const flag of relaxedFlags) setFlagsFromString(flag);
  const { cpuDevice } = await import("@transmla/kernels");
  const { Bench } = await import("./measure.mjs");
  const threads = Math.min(16, availableParallelism());
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  const { signal } = interrupt;
  const device = givingWay(await cpuDevice({ threads, wideVectors: hasWideVectors }));
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  let bench;
  let name;
  try {
    for (const [index, cell] of open.entries()) {
      if (elapsed() >= limit) {
        say(`the time is up; ${open.length - index} cells are left`);
        break;
      }
      if (cell.subject !== name) {
        await bench?.close();
        name = cell.subject;
        bench = await Bench.open(name, here.get(name), device, signal);
      }
      const label = labelOf(cell);
      const rest = estimate(open.slice(index), cells);
      const progress = (text) => show(`${index + 1}/${open.length} ${label} (${rest}): ${text}`);
      const result = await bench.measure(cell, { progress, signal });
      // Another run may have finished other cells meanwhile.
      Object.assign(cells, await readCells());
      cells[label] = { inputs: inputs[name], settings: settingsOf(cell), result };
      await save(cells, markdown(cells, inputs));
      const { perplexity, original, meanKl, seconds } = result;
      say(
        `${label}: perplexity ${perplexity.toFixed(3)} (original ${original.toFixed(3)}), KL ${meanKl.toFixed(4)}, ` +
          `converted in ${seconds.conversion.toFixed(0)} s, compared in ${seconds.evaluation.toFixed(0)} s`,
      );
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    say("stopped; finished cells are saved");
    return 130;
  } finally {
    await bench?.close();
    device.destroy();
  }
  return 0;
}

/** Time for cells that are left, from the median of those that are known: some were measured beside other work, or held up. */
function estimate(left, cells) {
  let seconds = 0;
  for (const subject of Object.keys(subjects)) {
    const known = Object.entries(cells).filter(([label]) => label.startsWith(`${subject} `));
    if (known.length === 0 && left.some((cell) => cell.subject === subject))
      return "no estimate yet";
    const usual = (part) => median(known.map(([, { result }]) => result.seconds[part]));
    const own = left.filter((cell) => cell.subject === subject);
    const conversions = new Set(own.map((cell) => labelOf({ ...cell, context: 0 })));
    if (own.length > 0)
      seconds += own.length * usual("evaluation") + conversions.size * usual("conversion");
  }
  return `about ${seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`} left`;
}

/** Lets the event loop turn before every read: the device computes on this thread, and Ctrl-C would have to wait. */
function givingWay(device) {
  const read = device.read.bind(device);
  device.read = async (...args) => {
    await new Promise((resolve) => void setImmediate(resolve));
    return read(...args);
  };
  return device;
}

let shown = 0;

/** One line that changes on a terminal, one every ten seconds elsewhere. */
function show(text) {
  const isTerminal = process.stderr.isTTY;
  if (performance.now() - shown < (isTerminal ? 100 : 10_000)) return;
  shown = performance.now();
  if (isTerminal) process.stderr.write(`\r\x1b[K${text.slice(0, process.stderr.columns - 1)}`);
  else process.stderr.write(`${text}\n`);
}

function say(text) {
  process.stderr.write(`${process.stderr.isTTY ? "\r\x1b[K" : ""}${text}\n`);
}

function refuse(text) {
  say(text);
  return 2;
}

process.exitCode = await main();
