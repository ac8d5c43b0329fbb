// Peak memory of converting a model of one billion parameters: random weights in the shape of Llama-3.2-1B (bf16, four shards) are written, then
// converted in a process of their own with method output-aware and few calibration tokens. Needs `npm run build`, 7 GB of disk and half an hour.
//
//     node tools/verify/scale.mjs [--layers 16] [--format native] [--threads 2] [--keep-files FOLDER] [--kills 20] [--given-sizes]
//
// Prints the peak of the resident memory beside what it may be: two layers, the embedding and 300 MB. With `--kills` the conversion is
// then done again, killed so many times at random moments and resumed, and every byte is compared. `--given-sizes` spares the choice of sizes, which
// a killed conversion begins anew until its first layer is done. Exit status 1 if something is not as it should be.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { convert, planConversion } from "../../packages/conversion/dist/index.js";
import { cpuDevice } from "../../packages/kernels/dist/index.js";
import { modelTensors, openModel, parseConfig } from "../../packages/models/dist/index.js";
import {
  folder,
  parseStrictJson,
  planShards,
  ShardedWriter,
} from "../../packages/tensor-io/dist/index.js";

const { values: flags } = parseArgs({
  options: {
    layers: { type: "string", default: "16" },
    format: { type: "string", default: "native" },
    threads: { type: "string", default: "2" },
    "keep-files": { type: "string" },
    kills: { type: "string", default: "0" },
    "given-sizes": { type: "boolean", default: false },
    convert: { type: "string" },
  },
});
const MB = 1e6;

/** Llama-3.2-1B (https://huggingface.co/meta-llama/Llama-3.2-1B, config.json). */
const shape = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: Number(flags.layers),
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 64,
  vocab_size: 128256,
  max_position_embeddings: 131072,
  rms_norm_eps: 1e-5,
  rope_theta: 500000,
  rope_scaling: {
    rope_type: "llama3",
    factor: 32,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
};

/** Numbers between -0.02 and 0.02 as bf16, half of a float32 each; a pattern is repeated, for nothing here is learnt. */
function randomBytes(count) {
  const pattern = new Uint16Array(65521);
  const bits = new Uint32Array(1);
  const value = new Float32Array(bits.buffer);
  let state = 1;
  for (let i = 0; i < pattern.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    value[0] = 0.04 * (state / 2 ** 32 - 0.5);
    pattern[i] = bits[0] >>> 16;
  }
  const values = new Uint16Array(count);
  for (let at = 0; at < count; at += pattern.length) {
    values.set(pattern.subarray(0, Math.min(pattern.length, count - at)), at);
  }
  return new Uint8Array(values.buffer);
}

/** Writes the checkpoint a piece of rows at a time. */
async function write(path) {
  const text = JSON.stringify(shape);
  const config = parseConfig(parseStrictJson(text));
  const specs = modelTensors(config).map(({ name, shape: sizes }) => ({
    name,
    shape: sizes,
    dtype: "BF16",
  }));
  const plan = planShards(specs, { maxShardBytes: 800 * MB });
  const writer = await ShardedWriter.create(folder(path), plan);
  const ones = (count) => new Uint8Array(new Uint16Array(count).fill(0x3f80).buffer);
  for (const { name, shape: sizes } of specs) {
    const [rows, columns = 1] = sizes;
    const step = Math.max(1, Math.floor((8 << 20) / columns));
    for (let first = 0; first < rows; first += step) {
      const count = Math.min(step, rows - first) * columns;
      await writer.write(name, sizes.length === 1 ? ones(count) : randomBytes(count));
    }
  }
  await writer.finish();
  await writeFile(join(path, "config.json"), text);
}

/** Converts, in a process of its own: what is printed is its peak. */
async function convertOnce(source, output) {
  const device = await cpuDevice({ threads: Number(flags.threads) });
  const files = await openModel(folder(source));
  const { vocabSize } = files.config;
  const sizes = flags["given-sizes"] ? { kvLoraRank: 192, ropeDim: 64 } : { keep: 0.25 };
  const plan = planConversion(files, { method: "output-aware", format: flags.format, ...sizes });
  const calibration = Array.from({ length: 8 }, (_, i) =>
    Int32Array.from({ length: 128 }, (_u, t) => (7919 * (128 * i + t) + 17) % vocabSize),
  );
  const peak = () => process.resourceUsage().maxRSS * 1024;
  const opened = peak();
  await convert(plan, {
    device,
    calibration,
    // As the command line does it.
    resumable: true,
    resume: existsSync(output),
    output: folder(output),
    onProgress: ({ phase, done, total }) =>
      process.stderr.write(
        `${phase} ${done}/${total}, peak ${(peak() / MB).toFixed(0)} MB, of arrays now ${(process.memoryUsage().arrayBuffers / MB).toFixed(0)} MB\n`,
      ),
  });
  await files.close();
  device.destroy();
  process.stdout.write(JSON.stringify({ opened, peak: peak() }));
}

/** Converts in another process, which is killed after `milliseconds` if it has not ended by then: what it printed, or nothing. */
function run(output, milliseconds) {
  const given = ["--convert", output, "--keep-files", root, "--format", flags.format];
  const sizes = flags["given-sizes"] ? ["--given-sizes"] : [];
  const args = [self, ...given, ...sizes, "--threads", flags.threads, "--layers", flags.layers];
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    let printed = "";
    child.stdout.on("data", (text) => (printed += text));
    const timer = milliseconds && setTimeout(() => child.kill("SIGKILL"), milliseconds);
    child.on("error", fail);
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      if (signal === "SIGKILL") done(undefined);
      else if (code === 0) done(JSON.parse(printed));
      else fail(new Error(`the conversion failed (${code})`));
    });
  });
}

async function measurePeak() {
  await rm(output, { recursive: true, force: true });
  const started = performance.now();
  const { opened, peak } = await run(output);
  const seconds = (performance.now() - started) / 1e3;
  const { hidden_size: d, intermediate_size: inner, num_key_value_heads: kv } = shape;
  const layer = 2 * (2 * d * d + 2 * d * kv * shape.head_dim + 3 * d * inner);
  const embedding = 2 * shape.vocab_size * d;
  const limit = 2 * layer + embedding + 300 * MB;
  const mb = (bytes) => `${(bytes / MB).toFixed(0)} MB`;
  console.log(
    `peak ${mb(peak)} (before converting ${mb(opened)}), allowed ${mb(limit)}: two layers of ${mb(layer)}, the embedding of ${mb(embedding)}, 300 MB; ${shape.num_hidden_layers} layers in ${seconds.toFixed(0)} s`,
  );
  if (peak > limit) process.exitCode = 1;
  return seconds;
}

async function hashes(path) {
  const names = (await readdir(path)).filter((name) => !name.startsWith(".")).toSorted();
  const lines = [];
  for (const name of names) {
    const hash = createHash("sha256");
    for await (const piece of createReadStream(join(path, name))) hash.update(piece);
    lines.push(`${hash.digest("hex")} ${name}`);
  }
  return lines;
}

/** The same conversion, killed and resumed, against the one before. A kill comes within a quarter of the time that one took. */
async function killAndResume(kills, seconds) {
  const again = join(root, "resumed");
  await rm(again, { recursive: true, force: true });
  let killed = 0;
  while (killed < kills) {
    if (!(await run(again, 1000 + Math.random() * 250 * seconds))) killed++;
    process.stderr.write(`${killed} of ${kills} kills\n`);
    if (!existsSync(join(again, "config.json"))) continue;
    await compare(again);
    await rm(again, { recursive: true });
  }
  await run(again);
  await compare(again);
  console.log(`${killed} kills: every hash as in the uninterrupted conversion`);
}

async function compare(again) {
  const [expected, actual] = [await hashes(output), await hashes(again)];
  if (actual.join() === expected.join()) return;
  throw new Error(`differs:\n${actual.join("\n")}\nexpected:\n${expected.join("\n")}`);
}

const self = fileURLToPath(import.meta.url);
const root = flags["keep-files"] ?? (await mkdtemp(join(tmpdir(), "transmla-scale-")));
const source = join(root, "original");
const output = join(root, "converted");
if (flags.convert) await convertOnce(source, flags.convert);
else {
  try {
    if (!existsSync(join(source, "config.json"))) await write(source);
    const seconds = await measurePeak();
    if (Number(flags.kills) > 0) await killAndResume(Number(flags.kills), seconds);
  } finally {
    if (!flags["keep-files"]) await rm(root, { recursive: true, force: true });
  }
}
