import { cached } from "../cache.mjs";
import { relaxedFlags } from "../engine.mjs";
import { ggufModel, shapeFor } from "./models.mjs";

/** Tokens that the caches of all contenders hold. */
export const CAPACITY = 8192;
/** The longest context that is decoded at; the rest of the cache is for what is decoded. */
export const LONGEST = 8000;

/** Our model from a folder or GGUF file, on the best build that this engine has. */
export function oursSpec(path, threads, options = {}) {
  return {
    module: "ours-model",
    options: { path, threads, capacity: CAPACITY, ...options },
    flags: relaxedFlags,
  };
}

/** llama.cpp at all of its settings: one spec per thread count and flash attention on or off. */
export async function llamaSpecs({
  quick,
  type,
  threads,
  keepState = false,
  contextSize = CAPACITY,
}) {
  const path = await ggufModel(quick, type);
  const { vocabulary } = shapeFor(quick);
  const specs = {};
  for (const count of threads) {
    for (const flashAttention of [false, true]) {
      const state = keepState ? await stateFile(quick, type, flashAttention) : undefined;
      const options = { path, threads: count, flashAttention, vocabulary, contextSize, state };
      specs[llamaName(type, count, flashAttention)] = { module: "llama", options };
    }
  }
  return specs;
}

/** The same for a GGUF file of one's own, called `label`; caches are not kept. */
export function llamaSpecsOf({ path, vocabulary, label, threads }) {
  const specs = {};
  for (const count of threads) {
    for (const flashAttention of [false, true]) {
      const options = { path, threads: count, flashAttention, vocabulary, contextSize: CAPACITY };
      specs[llamaName(label, count, flashAttention)] = { module: "llama", options };
    }
  }
  return specs;
}

export function llamaName(type, threads, flashAttention) {
  return `llama.cpp ${type} x${threads}${flashAttention ? ", flash attention" : ""}`;
}

/** The names of `llamaSpecs` at these thread counts. */
export function llamaNames(type, threads) {
  return threads.flatMap((count) => [llamaName(type, count, false), llamaName(type, count, true)]);
}

/** Where the peer keeps its cache of `LONGEST` tokens; the layout depends on flash attention. */
async function stateFile(quick, type, flashAttention) {
  const folder = await cached("llama-states", async (path) => {
    const { mkdir } = await import("node:fs/promises");
    await mkdir(path);
  });
  const name = `${quick ? "tiny" : "smollm2-135m"}-${type}-${flashAttention ? "fa" : "plain"}`;
  return { file: `${folder}/${name}.state`, tokens: LONGEST };
}
