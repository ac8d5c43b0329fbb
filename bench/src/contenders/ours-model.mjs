import { loadModel, openModel } from "@transmla/models";
import { fileSource, folder } from "@transmla/tensor-io";
import { randomNumbers, randomTokens } from "../random.mjs";
import { checkGroupedAttention, checkLatentAttention, checkLinear } from "./checks.mjs";
import { openDevice } from "./device.mjs";
import { keepInt8 } from "./int8-device.mjs";

/** Tokens per step of a prefill. */
const PIECE = 512;

/**
 * A model on our CPU device: `path` is a folder or a GGUF file; `int8` is for `keepInt8`. Tasks:
 * `{ kind: "decode", context, tokens }` decodes greedily behind a cache of `context` tokens; `{ kind: "prefill", tokens }`
 * runs a prompt. Both return the seconds of one token.
 */
export async function start({ path, int8, capacity, ...options }) {
  const device = await openDevice(options);
  await checkLinear(device, int8 ? "q8_0" : "bf16");
  const cache8 = int8?.cache ? "i8" : "f32";
  await checkGroupedAttention(device, cache8);
  await checkLatentAttention(device, cache8);
  const files = await openModel(path.endsWith(".gguf") ? await fileSource(path) : folder(path));
  if (int8) keepInt8(device, int8);
  const model = await loadModel(files, device);
  await files.close();
  const cache = model.createCache({ capacity });
  const vocabulary = model.config.vocabSize;
  const prompt = randomTokens(capacity, 7, vocabulary);
  const sequence = cache.open();
  const step = async (tokens) => {
    const logits = model.forward(cache, [{ sequence, tokens }]);
    const best = device.argmax(logits);
    const [token] = await device.read(best);
    for (const tensor of [logits, best]) device.release(tensor);
    return token;
  };

  const tasks = {
    async decode({ context, tokens }) {
      if (sequence.length !== context) fillCache(device, model, cache, sequence, context);
      let token = await step(prompt.subarray(0, 1));
      const started = performance.now();
      for (let i = 0; i < tokens; i++) token = await step(Int32Array.of(token));
      const seconds = (performance.now() - started) / 1e3 / tokens;
      sequence.truncate(context);
      return { seconds };
    },
    async prefill({ tokens }) {
      sequence.truncate(0);
      const started = performance.now();
      let first;
      for (let from = 0; from < tokens; from += PIECE) {
        first = await step(prompt.subarray(from, Math.min(tokens, from + PIECE)));
      }
      const seconds = (performance.now() - started) / 1e3 / tokens;
      sequence.truncate(0);
      return { seconds, token: first };
    },
  };
  const { attention } = model.config.layers[0];
  return { facts: { attention, simd: device.simd }, run: (task) => tasks[task.kind](task) };
}

/**
 * Gives the sequence `context` cached tokens of random keys and values instead of computing them: the time of a step does not
 * depend on what the cache holds, and a prefill of 8000 tokens takes minutes.
 */
function fillCache(device, model, cache, sequence, context) {
  sequence.truncate(0);
  const slots = sequence.append(context);
  model.config.layers.forEach((_, layer) => {
    for (const pool of cache.pool(layer)) {
      for (let from = 0; from < context; from += PIECE) {
        const some = slots.subarray(from, Math.min(context, from + PIECE));
        const rows = device.tensor(randomNumbers(some.length * pool.width, layer + from), [
          some.length,
          pool.width,
        ]);
        device.writePages(pool, rows, some);
        device.release(rows);
      }
    }
  });
}
