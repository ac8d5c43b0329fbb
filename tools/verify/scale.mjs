// Peak memory of converting a model of one billion parameters: random weights in the shape of Llama-3.2-1B (bf16, four shards) are written, then
// converted in a process of their own with method output-aware and few calibration tokens. Needs `npm run build`, 7 GB of disk and half an hour.
//
//     node tools/verify/scale.mjs [--layers 16] [--format native] [--threads 2] [--keep-files FOLDER]
//
// Prints the peak of the resident memory beside what it may be: two layers, the embedding and 300 MB. Exit status 1 if it is more.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
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
  const plan = planConversion(files, { method: "output-aware", format: flags.format, keep: 0.25 });
  const calibration = Array.from({ length: 8 }, (_, i) =>
    Int32Array.from({ length: 128 }, (_u, t) => (7919 * (128 * i + t) + 17) % vocabSize),
  );
  const peak = () => process.resourceUsage().maxRSS * 1024;
  const opened = peak();
  await convert(plan, {
    device,
    calibration,
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

const root = flags["keep-files"] ?? (await mkdtemp(join(tmpdir(), "transmla-scale-")));
const source = join(root, "original");
const output = join(root, "converted");
if (flags.convert) await convertOnce(source, output);
else {
  try {
    if (!existsSync(join(source, "config.json"))) await write(source);
    await rm(output, { recursive: true, force: true });
    const self = fileURLToPath(import.meta.url);
    const given = Object.entries({ ...flags, "keep-files": root, convert: "yes" });
    const args = given.flatMap(([name, value]) => [`--${name}`, value]);
    const started = performance.now();
    const { status, stdout } = spawnSync(process.execPath, [self, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    if (status !== 0) throw new Error(`the conversion failed (${status})`);
    const seconds = (performance.now() - started) / 1e3;
    const { opened, peak } = JSON.parse(stdout);
    const { hidden_size: d, intermediate_size: inner, num_key_value_heads: kv } = shape;
    const layer = 2 * (2 * d * d + 2 * d * kv * shape.head_dim + 3 * d * inner);
    const embedding = 2 * shape.vocab_size * d;
    const limit = 2 * layer + embedding + 300 * MB;
    const mb = (bytes) => `${(bytes / MB).toFixed(0)} MB`;
    console.log(
      `peak ${mb(peak)} (before converting ${mb(opened)}), allowed ${mb(limit)}: two layers of ${mb(layer)}, the embedding of ${mb(embedding)}, 300 MB; ${shape.num_hidden_layers} layers in ${seconds.toFixed(0)} s`,
    );
    process.exitCode = peak <= limit ? 0 : 1;
  } finally {
    if (!flags["keep-files"]) await rm(root, { recursive: true, force: true });
  }
}
