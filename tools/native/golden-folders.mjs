// The folders in packages/conversion/golden/native: a golden model of every family of packages/models, compressed to half of
// its cache in the native format. evaluate.py then adds what an independent evaluation computes with them. Needs `npm run build`.
//
//     node tools/native/golden-folders.mjs
//     .venv/bin/python tools/native/evaluate.py --golden packages/conversion/golden/native/*/
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { convert, planConversion } from "../../packages/conversion/dist/index.js";
import { referenceDevice } from "../../packages/kernels/dist/index.js";
import { openModel } from "../../packages/models/dist/index.js";
import { folder } from "../../packages/tensor-io/dist/index.js";

const at = (path) => fileURLToPath(new URL(`../../packages/${path}`, import.meta.url));

/** Token ids without structure. */
function tokens(count, seed) {
  let state = seed;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % 96;
  });
}

/** One per family; the golden model that asks most of it. */
const conversions = {
  // Low-rank queries, and up-projections that groups share.
  llama: { method: "transmla", freqFold: 2, qLoraRank: 20 },
  "llama-llama3-rope": { method: "output-aware" },
  "mistral-window": { method: "output-aware" },
  mixtral: { method: "output-aware" },
  // Biases that every rotation takes along.
  qwen2: { method: "transmla", freqFold: 2 },
  mimo: { method: "output-aware" },
  "qwen3-window": { method: "output-aware" },
  "smollm3-listed": { method: "output-aware" },
  gemma2: { method: "output-aware" },
};

for (const [name, options] of Object.entries(conversions)) {
  const files = await openModel(folder(at(`models/golden/${name}`)));
  const out = at(`conversion/golden/native/${name}`);
  await rm(out, { recursive: true, force: true });
  await convert(planConversion(files, { ...options, keep: 0.5, dtype: "bf16" }), {
    device: referenceDevice(),
    calibration: [1, 2, 3, 4].map((seed) => tokens(32, seed)),
    output: folder(out),
  });
  await files.close();
}
