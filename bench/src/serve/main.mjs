/**
 * How many requests at once are worth: tokens per second and the time to the first token with 1, 4, 16 and 64 streams, and how
 * many sequences one cache holds. See ../../README.md.
 *
 *     node src/serve/main.mjs [--only WORD,WORD] [--streams 1,4,16,64] [--prompt N] [--tokens N] [--threads N] [--rounds N] [--quick]
 */
import { availableParallelism, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { openContender } from "../contender.mjs";
import { median } from "../measure.mjs";
import { aligned } from "../report.mjs";
import { subjects } from "./subjects.mjs";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    streams: { type: "string", default: "1,4,16,64" },
    prompt: { type: "string", default: "64" },
    tokens: { type: "string", default: "64" },
    threads: { type: "string", default: String(Math.min(2, availableParallelism())) },
    rounds: { type: "string", default: "3" },
    quick: { type: "boolean", default: false },
  },
});
const quick = values.quick;
const streams = values.streams.split(",").map(Number);
const [prompt, tokens, threads, rounds] = ["prompt", "tokens", "threads", "rounds"].map((name) =>
  Number(values[name]),
);
/** Of the sequences that are counted under one budget. */
const HELD = { bytes: 64e6, tokens: 512 };

/** Rounds go through all numbers of streams in turn, so that what else the machine does hits all of them alike. */
async function measure(contender, name) {
  const runs = new Map(streams.map((count) => [count, []]));
  await contender.run({ streams: 1, prompt: 8, tokens: 4 });
  for (let round = 0; round < rounds; round++) {
    for (const count of streams) {
      process.stderr.write(`\r${name}: round ${round + 1} of ${rounds}, ${count} streams   `);
      runs.get(count).push(await contender.run({ streams: count, prompt, tokens }));
    }
  }
  process.stderr.write("\r\x1b[K");
  return new Map(
    [...runs].map(([count, outcomes]) => {
      const firsts = outcomes.flatMap((outcome) => outcome.firsts).toSorted((a, b) => a - b);
      return [
        count,
        {
          rate: median(outcomes.map(({ seconds, made }) => made / seconds)),
          first: median(firsts),
          first95: firsts[Math.min(firsts.length - 1, Math.floor(0.95 * firsts.length))],
        },
      ];
    }),
  );
}

const milliseconds = (seconds) => (1e3 * seconds).toFixed(0);
const lines = [];
const held = new Map();
for (const [name, specOf] of await subjects({
  quick,
  threads,
  only: values.only,
  streams,
  length: prompt + tokens + 8,
})) {
  const spec = await specOf();
  const contender = spec.missing ? spec : await openContender(spec);
  try {
    if (contender.missing) {
      lines.push([name, "", "", "", "", `skipped: ${contender.missing}`]);
      continue;
    }
    if (!/^llama.cpp|HTTP/.test(name)) {
      held.set(name, (await contender.run({ held: true, ...HELD })).count);
    }
    const results = await measure(contender, name);
    const one = results.get(1)?.rate;
    for (const [count, { rate, first, first95 }] of results) {
      const times = one ? `${(rate / one).toFixed(2)} x` : "";
      lines.push([
        name,
        `${count}`,
        rate.toFixed(1),
        milliseconds(first),
        milliseconds(first95),
        times,
      ]);
    }
  } finally {
    await contender.close?.();
  }
}
console.log(
  `${threads} threads, prompts of ${prompt} tokens, ${tokens} tokens each, ${rounds} rounds, load average ${loadavg()[0].toFixed(1)}\n`,
);
console.log(
  aligned(["served", "streams", "tokens/s", "first token ms", "95th", "of one stream"], lines),
);
console.log(`\nSequences of ${HELD.tokens} tokens in a cache of ${HELD.bytes / 1e6} MB (float32)`);
for (const [name, count] of held) console.log(`  ${name}: ${count}`);
for (const model of ["sample", "SmolLM2"]) {
  const of = (kind) => [...held].find(([name]) => name.startsWith(`${model}, ${kind}`))?.[1];
  const [gqa, mla] = [of("GQA"), of("MLA")];
  if (gqa && mla) console.log(`  ${model}: ${(mla / gqa).toFixed(2)} times as many`);
}
