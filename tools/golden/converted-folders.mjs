// Golden models of packages/models, converted: the folders in packages/conversion/golden/FORMAT. An independent evaluation then adds what it
// computes with each. Needs `npm run build`.
//
//     node tools/golden/converted-folders.mjs
//     .venv/bin/python tools/golden/native_latent.py --golden packages/conversion/golden/native/*/
//     for folder in packages/conversion/golden/deepseek/*/; do .venv/bin/python tools/verify/stock-engines/compare.py --golden $folder; done
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

const formats = {
  // One per family; the golden model that asks most of it.
  native: {
    all: { keep: 0.5, dtype: "bf16" },
    conversions: {
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
    },
  },
  deepseek: {
    all: { kvLoraRank: 12, ropeDim: 4, dtype: "f32" },
    conversions: {
      // Query biases, so two query factors; transmla's ladder.
      qwen2: { method: "transmla", freqFold: 4 },
      // Dense queries, llama3 scaling, a ladder in steps.
      "llama-llama3-rope": { method: "output-aware" },
    },
  },
};

for (const [format, { all, conversions }] of Object.entries(formats)) {
  for (const [family, options] of Object.entries(conversions)) {
    const files = await openModel(folder(at(`models/golden/${family}`)));
    const out = at(`conversion/golden/${format}/${family}`);
    await rm(out, { recursive: true, force: true });
    await convert(planConversion(files, { ...options, ...all, format }), {
      device: referenceDevice(),
      calibration: [1, 2, 3, 4].map((seed) => tokens(32, seed)),
      output: folder(out),
    });
    await files.close();
  }
}
