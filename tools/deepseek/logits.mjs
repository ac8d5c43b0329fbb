// Logits of a model folder as our runtime computes them, for compare.py. Needs `npm run build`.
//
//     node tools/deepseek/logits.mjs FOLDER OUT.safetensors [--device cpu|reference] [--tokens 200]
import { parseArgs } from "node:util";
import { cpuDevice, referenceDevice } from "../../packages/kernels/dist/index.js";
import { loadModel, openModel } from "../../packages/models/dist/index.js";
import { fileSink, folder, writeSafetensors } from "../../packages/tensor-io/dist/index.js";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: "string", default: "reference" },
    tokens: { type: "string", default: "200" },
  },
});
const [model = "", out = ""] = positionals;
const device = values.device === "cpu" ? await cpuDevice() : referenceDevice();
const files = await openModel(folder(model));
const loaded = await loadModel(files, device);
const count = Number(values.tokens);

// Ids without structure: every position and every weight matters. Same numbers everywhere.
let state = 1;
const ids = Int32Array.from({ length: count }, () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state >>> 8) % files.config.vocabSize;
});
const cache = loaded.createCache({ capacity: count });
const sequence = cache.open();
// Half as a prompt, half a token at a time: from the latent cache.
const half = count >> 1;
const logits = new Float32Array(count * files.config.vocabSize);
for (let first = 0, size = half; first < count; first += size, size = 1) {
  const tokens = ids.subarray(first, first + size);
  const rows = loaded.forward(cache, [{ sequence, tokens }], "all");
  logits.set(await device.read(rows), first * files.config.vocabSize);
  device.release(rows);
}
await writeSafetensors(
  fileSink(out),
  new Map([
    ["input_ids", { shape: [1, count], data: Float32Array.from(ids) }],
    ["logits", { shape: [1, count, files.config.vocabSize], data: logits }],
  ]),
);
cache.destroy();
await files.close();
device.destroy();
