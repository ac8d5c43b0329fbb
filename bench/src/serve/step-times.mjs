/**
 * The time of every token of one long generation, as a plot: it follows the attention's arithmetic, so it is a straight line. Says
 * how far the medians of 100 tokens are from the line, and the largest step from one to the next. `--clock cpu` counts the time of the
 * processor instead, which other work on the machine disturbs less; with `--repeat`, each token counts with the least of several generations.
 *
 *     node src/serve/step-times.mjs MODEL [--tokens 4000] [--threads 1] [--storage f32] [--clock wall] [--repeat 1] [--output step-times.svg]
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { Engine } from "@transmla/generation";
import { cpuDevice } from "@transmla/kernels";
import { loadModel, openModel } from "@transmla/models";
import { fileSource, folder } from "@transmla/tensor-io";
import { median } from "../measure.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: "string", default: "4000" },
    threads: { type: "string", default: "1" },
    storage: { type: "string", default: "f32" },
    clock: { type: "string", default: "wall" },
    repeat: { type: "string", default: "1" },
    output: { type: "string", default: "step-times.svg" },
  },
});
const [path] = positionals;
if (!path) throw new Error("usage: node src/serve/step-times.mjs MODEL");
const WINDOW = 100;
const WARMUP = 150;
const count = Number(values.tokens);
const device = await cpuDevice({ threads: Number(values.threads) });
const files = await openModel(path.endsWith(".gguf") ? await fileSource(path) : folder(path));
const model = await loadModel(files, device);
await files.close();
const engine = new Engine(model, { cache: { capacity: count + 128, storage: values.storage } });

/** Milliseconds. */
function clock() {
  if (values.clock === "wall") return performance.now();
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

/** Milliseconds of every token after the first. */
async function stepTimes(maxTokens, first) {
  const times = [];
  let last;
  const promptTokens = Int32Array.of(first, 2, 3, 4);
  for await (const _ of engine.submit({ promptTokens, maxTokens, stopTokenIds: [] })) {
    const now = clock();
    if (last !== undefined) times.push(now - last);
    last = now;
    if (times.length % WINDOW === 0)
      process.stderr.write(`\r${times.length} of ${maxTokens} tokens `);
  }
  process.stderr.write("\r\x1b[K");
  return times;
}

/** Least squares over windows: `y = a + b x`. */
function line(points) {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  const xy = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const xx = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return { at: (x) => meanY + (xy / xx) * (x - meanX), slope: xy / xx };
}

function svg(times, points, fit) {
  const [width, height, margin] = [900, 420, 50];
  const most = 1.5 * Math.max(...points.map(([, y]) => y));
  const x = (value) => margin + ((width - 2 * margin) * value) / count;
  const y = (value) => height - margin - ((height - 2 * margin) * Math.min(value, most)) / most;
  const dots = times
    .map((time, i) => `<circle cx="${x(i).toFixed(1)}" cy="${y(time).toFixed(1)}" r="1"/>`)
    .join("");
  const medians = points.map(([at, time]) => `${x(at).toFixed(1)},${y(time).toFixed(1)}`).join(" ");
  const ticks = [0, 0.25, 0.5, 0.75, 1].flatMap((part) => [
    `<text x="${x(part * count)}" y="${height - margin + 18}" text-anchor="middle">${part * count}</text>`,
    `<text x="${margin - 6}" y="${y(part * most) + 4}" text-anchor="end">${(part * most).toFixed(1)}</text>`,
  ]);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
<g fill="#9ab">${dots}</g>
<polyline points="${medians}" fill="none" stroke="#036" stroke-width="2"/>
<line x1="${x(0)}" y1="${y(fit.at(0))}" x2="${x(count)}" y2="${y(fit.at(count))}" stroke="#c30" stroke-dasharray="6 4"/>
${ticks.join("\n")}
<text x="${width / 2}" y="${height - 8}" text-anchor="middle">tokens in the cache</text>
<text x="${margin}" y="20">milliseconds per token: each (grey), median of ${WINDOW} (blue), line (red)</text>
</svg>
`;
}

// Engines compile what runs often as it runs.
await stepTimes(WARMUP, 5);
let times = await stepTimes(count, 6);
for (let run = 1; run < Number(values.repeat); run++) {
  const again = await stepTimes(count, 6 + run);
  times = times.map((time, i) => Math.min(time, again[i]));
}
const points = [];
for (let from = 0; from + WINDOW <= times.length; from += WINDOW) {
  points.push([from + WINDOW / 2, median(times.slice(from, from + WINDOW))]);
}
const fit = line(points);
const off = Math.max(...points.map(([x, y]) => Math.abs(y / fit.at(x) - 1)));
const steps = points.slice(1).map(([, y], i) => y / points[i][1] - 1);
await writeFile(values.output, svg(times, points, fit));
console.log(
  `${times.length} tokens: ${fit.at(0).toFixed(2)} ms at the beginning, ${(1e3 * fit.slope).toFixed(3)} ms more per 1,000 tokens; ` +
    `medians of ${WINDOW} within ${(100 * off).toFixed(1)} % of the line, largest step ${(100 * Math.max(...steps)).toFixed(1)} % (${values.output})`,
);
await engine.close();
device.destroy();
