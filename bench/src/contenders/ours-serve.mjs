import { Engine } from "@transmla/generation";
import { loadModel, openModel } from "@transmla/models";
import { fileSource, folder } from "@transmla/tensor-io";
import { randomTokens } from "../random.mjs";
import { openDevice } from "./device.mjs";

/**
 * Our engine. The task `{ streams, prompt, tokens }` keeps so many requests running at once, each with a prompt of its own of
 * `prompt` random tokens, until every stream has had one; it returns the seconds of all and those to each first token. The task
 * `{ held, bytes, tokens }` counts sequences of `tokens` tokens that fit into a cache of so many bytes.
 */
export async function start({ path, weights, capacity, ...options }) {
  const device = await openDevice(options);
  const files = await openModel(path.endsWith(".gguf") ? await fileSource(path) : folder(path));
  const model = await loadModel(files, device, { weights });
  await files.close();
  const { vocabSize } = model.config;
  const engine = new Engine(model, { cache: { capacity } });
  let seed = 0;

  async function stream({ prompt, tokens }) {
    // Prompts are never the same, so that nothing is found in the cache.
    const promptTokens = randomTokens(prompt, ++seed, vocabSize);
    const started = performance.now();
    let first;
    for await (const _ of engine.submit({ promptTokens, maxTokens: tokens, stopTokenIds: [] })) {
      first ??= (performance.now() - started) / 1e3;
    }
    return first;
  }

  function held({ bytes, tokens }) {
    const cache = model.createCache({ bytes });
    let count = 0;
    try {
      for (; ; count++) cache.open().append(tokens);
    } catch (error) {
      if (error.code !== "CacheFull") throw error;
    }
    cache.destroy();
    return { seconds: 0, count };
  }

  async function run(task) {
    if (task.held) return held(task);
    const started = performance.now();
    const firsts = await Promise.all(Array.from({ length: task.streams }, () => stream(task)));
    const seconds = (performance.now() - started) / 1e3;
    return { seconds, made: task.streams * task.tokens, firsts };
  }
  return { facts: { simd: device.simd }, run };
}
