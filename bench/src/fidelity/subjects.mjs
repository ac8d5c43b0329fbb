import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { loadTokenizer } from "@transmla/generation";
import { openModel } from "@transmla/models";
import { calibrationTextUrl, evaluationTextUrl, modelFolderPath } from "@transmla/sample-model";
import { fileSource, folder } from "@transmla/tensor-io";
import { realModel } from "../model/models.mjs";

/** What is converted, the texts, how much of them, and what the issue asks for. Calibration is what the command line takes by default. */
const CALIBRATION = { samples: 64, sequenceLength: 256 };

/** `ratio`: gap in log-perplexity beside `transmla`'s, by kept part. `above`: perplexity beside the original's. */
export const subjects = {
  sample: {
    contexts: [512, 1024],
    evaluationTokens: 8192,
    calibration: CALIBRATION,
    targets: {
      native: { ratio: { 0.5: 0.1, 0.3125: 0.15, 0.125: 0.3 } },
      deepseek: { ratio: { 0.3125: 0.2, 0.125: 0.4 } },
    },
  },
  smollm2: {
    contexts: [512, 2048],
    evaluationTokens: 40_000,
    calibration: CALIBRATION,
    targets: {
      native: { ratio: { 0.5: 0.25, 0.3125: 0.35, 0.125: 0.5 }, above: { 0.5: 1.03 } },
      deepseek: { ratio: {} },
    },
  },
};

/** Where the files of a subject are, or `{ missing }`. */
export function locate(name, { wikitext }) {
  if (name === "sample") {
    const texts = [calibrationTextUrl(), evaluationTextUrl()].map((url) => fileURLToPath(url));
    return { model: modelFolderPath(), calibration: texts[0], evaluation: texts[1] };
  }
  const model = realModel();
  if (model === undefined) return { missing: "set TRANSMLA_SMOLLM2 to SmolLM2-135M as GGUF" };
  if (!wikitext) return { missing: "set TRANSMLA_WIKITEXT, or --wikitext, to the texts' folder" };
  const calibration = `${wikitext}/wikitext2-valid.tokenised.txt`;
  const evaluation = `${wikitext}/wikitext2-test.raw.txt`;
  const absent = [calibration, evaluation].find((path) => !existsSync(path));
  return absent ? { missing: `${absent} is not there` } : { model, calibration, evaluation };
}

/** Hashes of a subject's files: with the settings they determine every cell. */
export async function fingerprint({ model, calibration, evaluation }) {
  const weights = model.endsWith(".gguf") ? model : `${model}/model.safetensors`;
  const paths = { model: weights, calibration, evaluation };
  const entries = Object.entries(paths).map(async ([name, path]) => {
    const hash = createHash("sha256").update(await readFile(path));
    return [name, hash.digest("hex").slice(0, 16)];
  });
  return Object.fromEntries(await Promise.all(entries));
}

/** Opens a subject: its files, and both texts as tokens. */
export async function openSubject({ model, calibration, evaluation }) {
  const files = await openModel(model.endsWith(".gguf") ? await fileSource(model) : folder(model));
  const tokenizer = await loadTokenizer(files.origin);
  const tokens = async (path) => tokenizer.encode(await readFile(path, "utf8"));
  return { files, calibration: await tokens(calibration), evaluation: await tokens(evaluation) };
}
