// The folders in packages/conversion/golden/deepseek: golden models of packages/models converted in the DeepSeek layout.
// compare.py --golden then adds what stock transformers computes with them. Needs `npm run build`.
//
//     node tools/golden/deepseek-folders.mjs
//     for folder in packages/conversion/golden/deepseek/*/; do .venv/bin/python tools/verify/stock-engines/compare.py --golden $folder; done
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { convert, planConversion } from "../../packages/conversion/dist/index.js";
import { referenceDevice } from "../../packages/kernels/dist/index.js";
import { openModel } from "../../packages/models/dist/index.js";
import { folder } from "../../packages/tensor-io/dist/index.js";

const at = (path) => fileURLToPath(new URL(`../../packages/${path}`, import.meta.url));

/** As in packages/conversion/src/formats/deepseek.test.ts. */
function tokens(count, seed) {
  let state = seed;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % 96;
  });
}

const conversions = {
  // Query biases, so two query factors; transmla's ladder.
  qwen2: { method: "transmla", freqFold: 4 },
  // Dense queries, llama3 scaling, the ladder of the highest frequencies.
  "llama-llama3-rope": { method: "output-aware" },
};

for (const [family, options] of Object.entries(conversions)) {
  const files = await openModel(folder(at(`models/golden/${family}`)));
  const out = at(`conversion/golden/deepseek/${family}`);
  await rm(out, { recursive: true, force: true });
  const sizes = { kvLoraRank: 12, ropeDim: 4, dtype: "f32", format: "deepseek" };
  await convert(planConversion(files, { ...options, ...sizes }), {
    device: referenceDevice(),
    calibration: [1, 2, 3, 4].map((seed) => tokens(32, seed)),
    output: folder(out),
  });
  await files.close();
}
