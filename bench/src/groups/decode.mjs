import { withContenders } from "../contender.mjs";
import { interleave, quickest } from "../measure.mjs";
import { convertedModel, safetensorsModel, shapeFor } from "../model/models.mjs";
import { weightBytes } from "../model/shape.mjs";
import { llamaNames, llamaSpecs, LONGEST, oursSpec } from "../model/specs.mjs";
import { against, compare, per } from "../rows.mjs";
import { stepLimits } from "./step-limits.mjs";

const group = "decode SmolLM2-135M";
const unit = "tokens/s";

/** Tokens decoded in one turn and turns, by context: few where each takes long. */
const plan = (quick) =>
  quick
    ? [
        { context: 512, tokens: 4, repetitions: 2 },
        { context: 128, tokens: 4, repetitions: 2 },
      ]
    : [
        { context: LONGEST, tokens: 8, repetitions: 5 },
        { context: 4096, tokens: 8, repetitions: 5 },
        { context: 1024, tokens: 12, repetitions: 5 },
        { context: 128, tokens: 12, repetitions: 7 },
      ];

/** Decoding at four contexts: ours original and converted, llama.cpp on the original. */
export async function decode({ quick, machine, progress, tables }) {
  const specs = await allSpecs(quick);
  return withContenders(specs, async (contenders) => {
    const measured = new Map();
    for (const { context, ...step } of plan(quick)) {
      // From the longest context down: llama.cpp only forgets, which is quick.
      const some = new Map(
        [...contenders].filter(([name]) => context === 128 || !name.includes("Q8_0")),
      );
      const task = { kind: "decode", context, tokens: step.tokens };
      const say = (text) => progress(`context ${context}, ${text}`);
      const { repetitions } = step;
      measured.set(context, await interleave(some, task, { repetitions, progress: say }));
    }
    tables.push(table(measured));
    const attentionOf = (name) => contenders.get(name)?.facts?.attention;
    return [
      ...shortContextRows(measured.get(128), quick, machine),
      ...longContextRows(measured, { quick, machine, attentionOf }),
    ];
  });
}

async function allSpecs(quick) {
  const bf16 = await safetensorsModel(quick);
  const specs = {};
  const both = (name, specOf) => {
    for (const threads of [1, 2]) specs[`${name} x${threads}`] = specOf(threads);
  };
  both("ours bf16", (threads) => oursSpec(bf16, threads));
  both("ours int8", (threads) => oursSpec(bf16, threads, { int8: { cache: false } }));
  for (const keep of [0.25, 0.125]) {
    const path = await convertedModel(quick, keep);
    both(`ours ${keep} bf16`, (threads) => oursSpec(path, threads));
    both(`ours ${keep} int8`, (threads) => oursSpec(path, threads, { int8: { cache: true } }));
  }
  Object.assign(
    specs,
    await llamaSpecs({ quick, type: "F16", threads: [1, 2], keepState: !quick }),
    await llamaSpecs({ quick, type: "Q8_0", threads: [1, 2] }),
  );
  return specs;
}

const best = (results, name) => quickest(results, [`${name} x1`, `${name} x2`]);
const bestLlama = (results, type = "F16") => quickest(results, llamaNames(type, [1, 2]));

function shortContextRows(results, quick, { limits }) {
  const at = (threads, target) =>
    compare({
      group,
      name: `bf16, context 128, ${threads === 1 ? "1 thread" : "2 threads"}`,
      ours: results.get(`ours bf16 x${threads}`),
      // One thread against its one thread; two against whatever suits it best.
      peer: quickest(results, llamaNames("F16", threads === 1 ? [1] : [1, 2])),
      unit,
      value: per(1),
      ...target,
    });
  const two = results.get("ours bf16 x2");
  const gigabytes = weightBytes(shapeFor(quick), 2) / 1e9;
  return [
    at(1, { atLeast: 1 }),
    at(2, { atLeast: 1.3 }),
    against({
      group,
      name: "bf16, context 128, 2 threads, weights read",
      ours: gigabytes / two.best,
      limit: limits.read2.best,
      limitName: "DRAM read, 2 threads",
      isLimit: true,
      unit: "GB/s",
      missing: two.missing ?? limits.read2.missing,
      atLeast: 0.65,
    }),
    compare({
      group,
      name: "int8 weights, context 128",
      ours: best(results, "ours int8"),
      peer: best(results, "ours bf16"),
      unit,
      value: per(1),
      atLeast: 1.5,
    }),
    compare({
      group,
      name: "int8 weights, context 128",
      ours: best(results, "ours int8"),
      peer: bestLlama(results, "Q8_0"),
      unit,
      value: per(1),
      atLeast: 0.9,
    }),
  ];
}

function longContextRows(measured, { quick, machine, attentionOf }) {
  const rows = [];
  for (const context of quick ? [512] : [4096, LONGEST]) {
    const results = measured.get(context);
    const row = (keep, numbers, peer, atLeast) => {
      const ours = best(results, `ours ${keep} ${numbers}`);
      const attention = attentionOf(ours.name);
      const bytes = weightBytes(shapeFor(quick), numbers === "bf16" ? 2 : 1);
      const cacheBytes = numbers === "bf16" ? 4 : 1;
      const { layers } = shapeFor(quick);
      return compare({
        group,
        name: `converted, ${keep * 100} % cache, ${numbers}, context ${context}`,
        ours,
        peer,
        unit,
        value: per(1),
        atLeast,
        note: attention && stepLimits({ attention, layers, context, bytes, cacheBytes }, machine),
      });
    };
    for (const keep of [0.25, 0.125]) {
      rows.push(
        row(keep, "bf16", bestLlama(results), 2),
        row(keep, "int8", bestLlama(results), 3),
        row(keep, "bf16", best(results, "ours bf16"), keep === 0.25 ? 1 : 1.3),
      );
    }
  }
  return rows;
}

/** All contenders at all contexts, in tokens per second. */
function table(measured) {
  const contexts = [...measured.keys()].toSorted((a, b) => a - b);
  const names = [...measured.values()].flatMap((results) => [...results.keys()]);
  const rows = [...new Set(names)].flatMap((name) => {
    const cells = contexts.map((context) => measured.get(context).get(name));
    if (cells.every((cell) => !cell || cell.missing)) return [];
    return [[name, ...cells.map((cell) => (cell?.seconds ? (1 / cell.seconds).toFixed(1) : "–"))]];
  });
  return {
    title: "Decoding SmolLM2-135M, tokens per second (median)",
    columns: ["model", ...contexts.map((context) => `context ${context}`)],
    rows,
  };
}
