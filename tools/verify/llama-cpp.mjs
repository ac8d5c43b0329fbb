// Model folders as GGUF in llama.cpp beside our own runtime: logits of a given text, and greedy tokens.
// Needs `npm run build`, and node-llama-cpp as a dependency of `bench` (or where NODE_LLAMA_CPP says).
//
//     npx transmla convert sample ./sample-free --keep 50% --format deepseek-bias-free --dtype f32
//     node tools/verify/llama-cpp.mjs ./sample-free [more folders] [--tokens 100] [--dtype F32,F16,Q8_0]
//
// Every folder is exported with `planGgufExport`. One line per type: the largest difference of all logits over the largest logit, teacher-forced over
// ids without structure, then how many greedy tokens agree; where one differs, both runtimes' logits of both tokens are shown. Folders without a
// tokenizer are run on ids alone. Exit status 1 if an F32 file differs by more than 2e-3 or greedy tokens part without a tie.
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { tokenizerGgufEntries } from "../../packages/generation/dist/index.js";
import { cpuDevice } from "../../packages/kernels/dist/index.js";
import {
  loadModel,
  openModel,
  planGgufExport,
  writeGgufExport,
} from "../../packages/models/dist/index.js";
import { fileSink, fileSource, folder } from "../../packages/tensor-io/dist/index.js";

/** Most that logits may differ by, relative to the largest. */
const LIMIT = 2e-3;
/** Ids of the text whose logits are compared, and of the prompt that greedy decoding starts from. */
const TEXT = 64;
const PROMPT = 8;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: "string", default: "100" },
    dtype: { type: "string", default: "F32,F16" },
  },
});
const bench = fileURLToPath(new URL("../../bench/node_modules", import.meta.url));
const modules = process.env.NODE_LLAMA_CPP ?? bench;
const entry = join(modules, "node-llama-cpp/dist/index.js");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
const llama = await getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  maxThreads: 1,
  logLevel: LlamaLogLevel.error,
});

/** Ids without structure, the same everywhere. */
function ids(count, vocabulary) {
  let state = 1;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % vocabulary;
  });
}

const argmax = (row) => row.reduce((best, value, i) => (value > row[best] ? i : best), 0);

/** Logits of every position of `text`, and `count` greedy tokens after its beginning with the logits that chose them. */
async function ours(path, text, count) {
  const files = await openModel(path.endsWith(".gguf") ? await fileSource(path) : folder(path));
  const device = await cpuDevice();
  const model = await loadModel(files, device);
  const { vocabSize } = files.config;
  const rowsOf = async (cache, sequence, tokens) => {
    const logits = model.forward(cache, [{ sequence, tokens: Int32Array.from(tokens) }], "all");
    const all = await device.read(logits);
    device.release(logits);
    return tokens.map((_, t) => all.slice(t * vocabSize, (t + 1) * vocabSize));
  };
  const cache = model.createCache({ capacity: 2 * (TEXT + PROMPT + count) });
  const rows = await rowsOf(cache, cache.open(), text);
  const sequence = cache.open();
  const steps = [];
  let next = text.slice(0, PROMPT);
  while (steps.length < count) {
    const logits = (await rowsOf(cache, sequence, next)).at(-1);
    next = [argmax(logits)];
    steps.push({ token: next[0], logits });
  }
  cache.destroy();
  device.destroy();
  await files.close();
  return { rows, steps };
}

/** The same by llama.cpp, with caches in float32. */
async function theirs(path, text, count, vocabulary) {
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({
    contextSize: 2 * (TEXT + PROMPT + count),
    batchSize: 512,
    threads: { ideal: 1, min: 1 },
    sequences: 1,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
  });
  const sequence = context.getSequence();
  const logits = { generateNext: { logits: true } };
  const rowOf = (item) => {
    const row = new Float32Array(vocabulary).fill(-Infinity);
    for (const [token, value] of item.next.logits) row[token] = value;
    return row;
  };
  const evaluated = await sequence.controlledEvaluate(text.map((token) => [token, logits]));
  const rows = evaluated.map(rowOf);
  await sequence.clearHistory();
  const steps = [];
  let next = text.slice(0, PROMPT);
  while (steps.length < count) {
    const input = next.map((token, i) => (i + 1 < next.length ? token : [token, logits]));
    const row = rowOf((await sequence.controlledEvaluate(input)).at(-1));
    next = [argmax(row)];
    steps.push({ token: next[0], logits: row });
  }
  await context.dispose();
  await model.dispose();
  return { rows, steps };
}

function largestDifference(mine, other) {
  let difference = 0;
  let largest = 0;
  for (const [t, row] of mine.entries()) {
    for (const [i, value] of row.entries()) {
      difference = Math.max(difference, Math.abs(value - other[t][i]));
      largest = Math.max(largest, Math.abs(value));
    }
  }
  return difference / largest;
}

/** Where greedy tokens part, in words, and whether it is a tie: a gap no larger than the difference of the logits there. */
function parting(mine, other) {
  const at = mine.findIndex(({ token }, i) => token !== other[i].token);
  if (at < 0) return { words: `${mine.length} greedy tokens agree`, tie: true };
  const [a, b] = [mine[at].token, other[at].token];
  const gap = mine[at].logits[a] - mine[at].logits[b];
  const error = Math.max(
    ...[a, b].map((token) => Math.abs(mine[at].logits[token] - other[at].logits[token])),
  );
  const show = ({ logits }) => `${logits[a].toFixed(5)}, ${logits[b].toFixed(5)}`;
  const words = `${at} greedy tokens agree, then ${a} and ${b}: logits ${show(mine[at])} and ${show(other[at])}`;
  return { words, tie: gap <= 2 * error };
}

/** llama.cpp's bindings want words even where ids are all that is asked for. */
function numberedTokens(count) {
  const words = Array.from({ length: count }, (_, id) => `<${id}>`);
  return new Map([
    ["tokenizer.ggml.model", "gpt2"],
    ["tokenizer.ggml.pre", "default"],
    ["tokenizer.ggml.tokens", words],
    ["tokenizer.ggml.merges", ["< 0"]],
    ["tokenizer.ggml.token_type", new Int32Array(count).fill(1)],
  ]);
}

async function exported(path, weights, out) {
  const files = await openModel(folder(path));
  const { vocabSize } = files.config;
  const tokenizer = existsSync(join(path, "tokenizer.json"))
    ? await tokenizerGgufEntries(files.origin, vocabSize)
    : numberedTokens(vocabSize);
  await writeGgufExport(planGgufExport(files, { weights, tokenizer }), fileSink(out));
  await files.close();
  return vocabSize;
}

const versions = JSON.parse(
  await (await import("node:fs/promises")).readFile(join(modules, "node-llama-cpp/package.json")),
);
console.log(`node-llama-cpp ${versions.version}, llama.cpp ${llama.llamaCppRelease.release}`);
const temporary = await mkdtemp(join(tmpdir(), "transmla-llama-"));
let failed = false;
try {
  for (const path of positionals) {
    for (const weights of values.dtype.split(",")) {
      const out = join(temporary, "model.gguf");
      const vocabulary = await exported(path, weights, out);
      const text = ids(TEXT, vocabulary);
      const count = Number(values.tokens);
      const mine = await ours(path, text, count);
      const other = await theirs(out, text, count, vocabulary);
      const difference = largestDifference(mine.rows, other.rows);
      const { words, tie } = parting(mine.steps, other.steps);
      console.log(`${path} ${weights}: ${difference.toExponential(1)}, ${words}`);
      if (weights === "F32" && (difference > LIMIT || !tie)) failed = true;
    }
  }
} finally {
  await rm(temporary, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
