import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { withContenders } from "../contender.mjs";
import { relaxedFlags } from "../engine.mjs";
import { interleave } from "../measure.mjs";
import { convertedModel, realModel, safetensorsModel, shapeFor } from "../model/models.mjs";
import { CAPACITY, llamaSpecsOf } from "../model/specs.mjs";

const cli = fileURLToPath(new URL("../../../apps/cli/bin/transmla.js", import.meta.url));
const run = promisify(execFile);

/** What both sides decode at each context; the last tokens of the longest need room in the cache. */
const DECODED = 16;

/**
 * SmolLM2-135M, original and converted, by `transmla bench` as a user runs it, beside llama.cpp on the original: one table. Caches are
 * filled by prefill. Without the real model random weights of its shape stand for it, for which there is no GGUF to give llama.cpp.
 */
export async function contexts({ quick, progress, tables }) {
  const asked = quick ? [128, 512] : [128, 1024, 4096, 8192];
  const original = (!quick && realModel()) || (await safetensorsModel(quick));
  const models = [["original", original]];
  for (const keep of [0.25, 0.125]) {
    models.push([`converted, ${keep * 100} % cache`, await convertedModel(quick, keep)]);
  }
  const lines = [];
  for (const [name, path] of models) {
    progress(`ours, ${name}`);
    const { machine, rows } = await benchOf(path, asked);
    const gigabytes = (machine.bandwidth / 1e9).toFixed(1);
    lines.push([
      `ours, ${name} (${gigabytes} GB/s, ${(machine.gemm / 1e9).toFixed(0)} GFLOP/s)`,
      ...rows.map(oursCell),
    ]);
  }
  if (original.endsWith(".gguf")) lines.push(...(await llamaLines(original, asked, progress)));
  tables.push({
    title: `SmolLM2-135M by \`transmla bench\`, tokens per second: prefill, decode (at the limit; attention's part of its limit)`,
    columns: ["model", ...asked.map((context) => `context ${context}`)],
    rows: lines,
  });
  return [];
}

async function benchOf(path, asked) {
  const arguments_ = [...relaxedFlags, cli, "bench", path, "--context", asked.join(), "--json"];
  const flags = ["--decode-tokens", String(DECODED)];
  const { stdout } = await run(process.execPath, [...arguments_, ...flags]);
  return JSON.parse(stdout);
}

function oursCell({ prefill, decode, decodePredicted, attentionFractionOfLimit: part }) {
  const attention = part === undefined ? "" : `; ${(100 * part).toFixed(0)} %`;
  return `${prefill.toFixed(0)}, ${decode.toFixed(1)} (${decodePredicted.toFixed(1)}${attention})`;
}

/** Decoding by llama.cpp on two threads, with flash attention off and on. */
async function llamaLines(path, asked, progress) {
  const { vocabulary } = shapeFor(false);
  const specs = llamaSpecsOf({ path, vocabulary, label: "original", threads: [2] });
  return withContenders(specs, async (contenders) => {
    const cells = new Map([...contenders.keys()].map((name) => [name, []]));
    for (const wanted of asked.toSorted((a, b) => a - b)) {
      const context = Math.min(wanted, CAPACITY - DECODED);
      const task = { kind: "decode", context, tokens: DECODED };
      const say = (text) => progress(`context ${context}, ${text}`);
      const options = { repetitions: 3, warmups: 1, progress: say };
      const results = await interleave(contenders, task, options);
      for (const [name, { seconds, missing }] of results) {
        cells.get(name).push(missing ? "–" : (1 / seconds).toFixed(1));
      }
    }
    return [...cells].map(([name, row]) => [`${name}, decode`, ...row]);
  });
}
