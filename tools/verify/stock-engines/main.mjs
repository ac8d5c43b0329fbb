// Converts models of every family in both DeepSeek layouts, loads each folder in stock Hugging Face transformers and compares its logits with
// ours. Needs `npm run build`, and a Python with tools/golden/requirements.txt as TRANSMLA_PYTHON (default python3).
//
//     TRANSMLA_PYTHON=.venv/bin/python node tools/verify/stock-engines/main.mjs [--smollm2 FILE.gguf] [--only llama] [--keep-files FOLDER]
//
// Prints versions and a table: what was loaded, or the error with which our converter refuses. Exit status 1 if a difference exceeds 2e-3 of
// the largest logit, if the stock class makes up or leaves out a weight, or if a conversion fails otherwise than by refusing.
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  convert,
  ConversionError,
  planConversion,
} from "../../../packages/conversion/dist/index.js";
import { loadTokenizer } from "../../../packages/generation/dist/index.js";
import { cpuDevice } from "../../../packages/kernels/dist/index.js";
import { openModel } from "../../../packages/models/dist/index.js";
import { calibrationTextUrl, modelFolderPath } from "../../../packages/sample-model/dist/index.js";
import { fileSource, folder } from "../../../packages/tensor-io/dist/index.js";
import { idsWithoutStructure, writeLogits } from "./logits.mjs";

const { values: flags } = parseArgs({
  options: {
    smollm2: { type: "string" },
    only: { type: "string", default: "" },
    "keep-files": { type: "string" },
  },
});
const FORMATS = ["deepseek", "deepseek-bias-free"];
/** Ids whose logits are compared. */
const TOKENS = 100;

const golden = (family) =>
  fileURLToPath(new URL(`../../../packages/models/golden/${family}`, import.meta.url));

/** Tiny random checkpoints: what a family has decides here, not how well it is compressed. */
const families = [
  "llama",
  "llama-tied",
  "llama-llama3-rope",
  "llama-linear-rope",
  "mistral",
  "qwen2",
  "mimo",
  "llama-bias",
  "mistral-window",
  "mixtral",
  "smollm3",
  "qwen3",
];

const subjects = [
  {
    name: "sample model",
    open: () => openModel(folder(modelFolderPath())),
    tokenizer: true,
    sequences: [16, 128],
  },
  ...(flags.smollm2
    ? [
        {
          name: "SmolLM2-135M",
          open: async () => openModel(await fileSource(flags.smollm2)),
          tokenizer: true,
          sequences: [8, 128],
        },
      ]
    : []),
  ...families.map((family) => ({
    name: `tiny ${family}`,
    open: () => openModel(folder(golden(family))),
    sequences: [64, 32],
  })),
].filter(({ name }) => name.includes(flags.only));

/** The sample model's text where there is a tokenizer, ids without structure for the tiny models. */
async function calibrationOf({ config, origin }, { tokenizer, sequences: [count, length] }) {
  const ids = tokenizer
    ? (await loadTokenizer(origin)).encode(await readFile(calibrationTextUrl(), "utf8"))
    : idsWithoutStructure(count * length, config.vocabSize);
  return Array.from({ length: count }, (_, i) => ids.slice(i * length, (i + 1) * length));
}

async function converted(subject, format, path) {
  const files = await subject.open();
  const device = await cpuDevice();
  try {
    const options = { method: "output-aware", format, keep: 0.5, dtype: "f32" };
    const plan = planConversion(files, options);
    const calibration = await calibrationOf(files, subject);
    await convert(plan, { device, calibration, output: folder(path) });
  } finally {
    device.destroy();
    await files.close();
  }
}

const root = flags["keep-files"] ?? (await mkdtemp(join(tmpdir(), "transmla-stock-")));
await mkdir(root, { recursive: true });
const rows = [];
try {
  for (const subject of subjects) {
    for (const format of FORMATS) {
      const path = join(root, `${subject.name} ${format}`.replaceAll(" ", "-"));
      const row = { name: subject.name, format, path };
      rows.push(row);
      process.stderr.write(`${subject.name}, ${format}\n`);
      try {
        await converted(subject, format, path);
        row.logits = join(path, "our-logits.safetensors");
        await writeLogits(path, row.logits, TOKENS);
      } catch (error) {
        if (!ConversionError.isInstance(error)) throw error;
        row.refused = `${error.code}: ${error.message}`;
      }
    }
  }
  await writeFile(join(root, "rows.json"), JSON.stringify(rows));
  const python = process.env.TRANSMLA_PYTHON ?? "python3";
  const script = fileURLToPath(new URL("compare.py", import.meta.url));
  const { status } = spawnSync(python, [script, "--rows", join(root, "rows.json")], {
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
} finally {
  if (!flags["keep-files"]) await rm(root, { recursive: true, force: true });
}
