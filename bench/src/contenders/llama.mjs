import { existsSync } from "node:fs";
import { rename } from "node:fs/promises";
import { randomTokens } from "../random.mjs";

/**
 * llama.cpp through node-llama-cpp, with the tasks of `ours-model.mjs`. `state` names a file for the cache after `capacity`
 * tokens: computing it takes minutes, so it is done once per setting and kept.
 */
export async function start({ path, threads, flashAttention, vocabulary, contextSize, state }) {
  const { getLlama, LlamaLogLevel } = await import("node-llama-cpp");
  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  });
  const model = await llama.loadModel({
    modelPath: path,
    defaultContextFlashAttention: flashAttention,
  });
  const context = await model.createContext({
    contextSize,
    batchSize: 512,
    threads: { ideal: threads, min: threads },
    flashAttention,
    sequences: 1,
  });
  const sequence = context.getSequence();
  const prompt = Array.from(randomTokens(contextSize, 7, vocabulary));

  /** Brings the cache to `length` tokens: by forgetting, from the file, or by computing. */
  async function reach(length) {
    if (sequence.nextTokenIndex < length && state) await loadState();
    if (sequence.nextTokenIndex < length) {
      await sequence.evaluateWithoutGeneratingNewTokens(
        prompt.slice(sequence.nextTokenIndex, length),
      );
    }
    if (sequence.nextTokenIndex > length) {
      await sequence.eraseContextTokenRanges([{ start: length, end: sequence.nextTokenIndex }]);
    }
  }

  async function loadState() {
    const { file, tokens } = state;
    if (!existsSync(file)) {
      await sequence.evaluateWithoutGeneratingNewTokens(
        prompt.slice(sequence.nextTokenIndex, tokens),
      );
      await sequence.saveStateToFile(`${file}.part`);
      await rename(`${file}.part`, file);
    } else await sequence.loadStateFromFile(file, { acceptRisk: true });
  }

  /** Greedy decoding after `tokens`; the clock runs from the first token given out to the last. */
  async function generate(tokens, count) {
    const options = { temperature: 0, yieldEogToken: true };
    let seen = 0;
    let first;
    let started;
    for await (const token of sequence.evaluate(tokens, options)) {
      first ??= token;
      started ??= performance.now();
      if (seen++ === count) break;
    }
    return { first, seconds: (performance.now() - started) / 1e3 };
  }

  const tasks = {
    async decode({ context: length, tokens }) {
      await reach(length);
      const { seconds } = await generate([prompt[0]], tokens);
      return { seconds: seconds / tokens };
    },
    async prefill({ tokens }) {
      await sequence.clearHistory();
      const started = performance.now();
      const { first } = await generate(prompt.slice(0, tokens), 0);
      return { seconds: (performance.now() - started) / 1e3 / tokens, token: first };
    },
  };
  return { facts: {}, run: (task) => tasks[task.kind](task) };
}
