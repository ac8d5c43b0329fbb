/**
 * What bytes in the latent cache cost: perplexity and bytes per token of a model with its cache in float32, with latents in bytes and
 * rotated keys in bf16, and with both in bytes.
 *
 *     node src/serve/int8.mjs MODEL TEXT [--tokens 20000] [--context 512] [--threads N]
 */
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { perplexity } from "@transmla/evaluation";
import { loadTokenizer } from "@transmla/generation";
import { loadModel, openModel } from "@transmla/models";
import { fileSource, folder } from "@transmla/tensor-io";
import { cpuDevice } from "@transmla/kernels";
import { aligned } from "../report.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: "string", default: "20000" },
    context: { type: "string", default: "512" },
    threads: { type: "string", default: String(Math.min(2, availableParallelism())) },
  },
});
const [path, text] = positionals;
if (!path || !text) throw new Error("usage: node src/serve/int8.mjs MODEL TEXT");
const device = await cpuDevice({ threads: Number(values.threads) });
const files = await openModel(path.endsWith(".gguf") ? await fileSource(path) : folder(path));
const tokenizer = await loadTokenizer(files.origin);
const maxTokens = Number(values.tokens);
const tokens = tokenizer.encode((await readFile(text, "utf8")).slice(0, 16 * maxTokens));
const model = await loadModel(files, device);

const storages = {
  f32: "f32",
  "latents i8, rotated keys bf16": { latents: "i8", "rope-keys": "bf16" },
  i8: "i8",
};
const lines = [];
let base;
for (const [name, cacheStorage] of Object.entries(storages)) {
  const cache = model.createCache({ capacity: 1, storage: cacheStorage });
  const { bytesPerToken } = cache;
  cache.destroy();
  const result = await perplexity(model, tokens, {
    maxTokens,
    context: Number(values.context),
    cacheStorage,
    onProgress: ({ done, total }) =>
      process.stderr.write(`\r${name}: ${done} of ${total} tokens   `),
  });
  process.stderr.write("\r\x1b[K");
  base ??= { perplexity: result.perplexity, bytesPerToken };
  const change = 100 * (result.perplexity / base.perplexity - 1);
  lines.push([
    name,
    result.perplexity.toFixed(4),
    `${change.toFixed(3)} %`,
    `${bytesPerToken}`,
    (bytesPerToken / base.bytesPerToken).toFixed(3),
  ]);
}
console.log(aligned(["cache", "perplexity", "change", "bytes per token", "of f32"], lines));
await files.close();
device.destroy();
