import { randomTokens } from "../random.mjs";

/** llama.cpp's batching through node-llama-cpp, with the first task of `ours-serve.mjs`: a context of as many sequences as there are streams. */
export async function start({ path, threads, vocabulary, streams, length }) {
  const { getLlama, LlamaLogLevel } = await import("node-llama-cpp");
  const llama = await getLlama({
    gpu: false,
    build: "never",
    skipDownload: true,
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  });
  const model = await llama.loadModel({ modelPath: path });
  const context = await model.createContext({
    contextSize: length,
    batchSize: 512,
    threads: { ideal: threads, min: threads },
    sequences: streams,
  });
  const sequences = Array.from({ length: streams }, () => context.getSequence());
  let seed = 0;

  async function stream(sequence, { prompt, tokens }) {
    await sequence.clearHistory();
    const promptTokens = Array.from(randomTokens(prompt, ++seed, vocabulary));
    const started = performance.now();
    let first;
    let count = 0;
    const options = { temperature: 0, yieldEogToken: true };
    for await (const _ of sequence.evaluate(promptTokens, options)) {
      first ??= (performance.now() - started) / 1e3;
      if (++count === tokens) break;
    }
    return first;
  }

  async function run(task) {
    const started = performance.now();
    const firsts = await Promise.all(
      sequences.slice(0, task.streams).map((sequence) => stream(sequence, task)),
    );
    const seconds = (performance.now() - started) / 1e3;
    return { seconds, made: task.streams * task.tokens, firsts };
  }
  return { facts: {}, run };
}
