import { markdownTable } from "../report.mjs";
import { spread } from "./setup.mjs";

/** Load average above which others than the two threads of an experiment were at work. */
const BUSY = 2.5;

const percent = (fraction) => `${(100 * fraction).toFixed(1)} %`;

const sections = {
  throughput: ({ rows, settings }) => [
    `## Steps beside PyTorch`,
    `The sample model, cross-entropy, ${settings.documents} documents of ${settings.tokens} tokens, float32, AdamW; steps in turns, medians. Target: half of PyTorch.`,
    markdownTable(
      ["threads", "ours, tokens/s", "PyTorch, tokens/s", "ratio", "SIMD"],
      rows.map(({ threads, ours, pytorch, ratio, simd }) => [
        String(threads),
        ours.toFixed(0),
        pytorch?.toFixed(0) ?? "not there",
        ratio ? ratio.toFixed(2) : "",
        simd,
      ]),
    ),
  ],
  memory: ({ rows, settings, worst }) => [
    `## Memory beside its plan`,
    `The sample model at ${settings.keep} of its cache, documents of ${settings.context} tokens on the CPU device; the largest resident size of the process beside what was printed before the start. Farthest: ${worst.toFixed(2)}; target within 1.2.`,
    markdownTable(
      [
        "command",
        "batch",
        "threads",
        "trained",
        "steps",
        "planned, MB",
        "peak, MB",
        "peak / planned",
      ],
      rows.map((row) => [
        row.command,
        String(row.batch),
        String(row.threads),
        row.train,
        String(row.steps),
        (row.plannedBytes / 1e6).toFixed(0),
        (row.peakRssBytes / 1e6).toFixed(0),
        (row.peakRssBytes / row.plannedBytes).toFixed(2),
      ]),
    ),
  ],
  heal: ({ rows, original, settings, wonBack }) => [
    `## Winning back what compression cost`,
    `The sample model at ${settings.keep} of its cache, \`transmla distill ${settings.distill.join(" ")}\` on its calibration text, measured on ${settings.evaluationTokens} tokens of its evaluation text (original ${original.toFixed(4)} nats). Mean won back: ${percent(wonBack)}; target 80 % in five minutes.`,
    markdownTable(
      ["seed", "converted", "distilled", "won back", "seconds", "tokens/s"],
      rows.map((row) => [
        String(row.seed),
        row.before.toFixed(4),
        row.after.toFixed(4),
        percent(row.wonBack),
        row.seconds.toFixed(0),
        row.tokensPerSecond.toFixed(0),
      ]),
    ),
  ],
  expressiveness: ({ rows, settings }) => [
    `## Exact MLA beside the original, trained alike`,
    `Attention trained for ${settings.steps} steps of ${settings.tokens} tokens on the calibration text; nats per token, mean (range) over seeds. "learnt" is the mean of the last 20 steps.`,
    markdownTable(
      ["model", "rate", "learnt", "held out"],
      groupsOf(rows).map(([name, rate, some]) => [
        name,
        String(rate),
        spread(some.map(({ trained }) => trained)),
        spread(some.map(({ heldOut }) => heldOut)),
      ]),
    ),
  ],
  arithmetic: ({ rows, settings }) => [
    `## Sums with worked steps`,
    `Sums of two numbers of ${settings.digits} digits, ${settings.steps} steps of ${settings.tokens} tokens, examined on ${settings.unseen} sums that were not in the data; the converted model keeps ${percent(settings.keep)} of its cache.`,
    markdownTable(
      ["model", "right before", "right after", "last loss", "tokens", "seconds"],
      rows.map((row) => [
        row.name,
        percent(row.before),
        percent(row.after),
        row.loss.toFixed(4),
        String(row.tokens),
        row.seconds.toFixed(0),
      ]),
    ),
  ],
};

function groupsOf(rows) {
  const keys = [...new Set(rows.map(({ name, rate }) => JSON.stringify([name, rate])))];
  return keys.map((key) => {
    const [name, rate] = JSON.parse(key);
    return [name, rate, rows.filter((row) => row.name === name && row.rate === rate)];
  });
}

/** The results as Markdown. */
export function markdown(results) {
  const parts = ["# Training", "Written by `npm run bench:training`."];
  for (const [name, result] of Object.entries(results)) {
    parts.push(...sections[name](result));
    if (result.load > BUSY) {
      parts.push(
        `Load average ${result.load.toFixed(1)}: the machine had other work, times say little.`,
      );
    }
  }
  return `${parts.join("\n\n")}\n`;
}
