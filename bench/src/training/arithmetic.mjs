import { loadModel } from "@transmla/models";
import { bytesSource } from "@transmla/tensor-io";
import {
  BatchStream,
  conversationDocuments,
  train,
  trainedFiles,
  TrainableModel,
  Trainer,
} from "@transmla/training";
import { isRight, problems, promptOf, worked } from "./problems.mjs";
import { converted } from "./setup.mjs";

/** Three digits: a million sums, of which a run sees some thousands and is examined on 500 others. */
export const SETTINGS = {
  digits: 3,
  unseen: 500,
  train: 20_000,
  keep: 0.125,
  steps: 1200,
  tokens: 512,
  rate: 1.5e-3,
  seed: 1,
};

/** The converted student and the unconverted model, each on the same data. */
export async function arithmetic(sample, { settings = SETTINGS, progress }) {
  const { train: learnt, unseen } = problems(settings);
  const lines = learnt.map(({ a, b }) => JSON.stringify(worked(a, b, settings.digits)));
  const source = bytesSource(new TextEncoder().encode(lines.join("\n")), "sums.jsonl");
  const endToken = sample.files.config.eosTokenIds[0];
  const documents = await conversationDocuments(source, sample.tokenizer, {
    context: 256,
    endToken,
  });
  const subjects = {
    converted: await converted(sample, { keep: settings.keep }),
    unconverted: sample.files,
  };
  const rows = [];
  for (const [name, files] of Object.entries(subjects)) {
    const { steps, tokens, rate, seed } = settings;
    const model = await TrainableModel.load(files, sample.device, { train: "all" });
    const before = await examine(sample, trainedFiles(files, model), unseen, settings);
    progress(`${name}: ${before} of ${unseen.length} right before`);
    const stream = new BatchStream(documents, { tokens, seed });
    const trainer = new Trainer(model, stream, {
      objective: { crossEntropy: 1 },
      steps,
      rate,
      schedule: { warmup: 30, final: 0.02 },
      optimiser: { weightDecay: 0 },
    });
    const started = performance.now();
    const { reports } = await train(trainer, {
      onStep: ({ step, loss }) => {
        if (step % 25 === 0) progress(`${name}: step ${step} of ${steps}, loss ${loss.toFixed(4)}`);
      },
    });
    const seconds = (performance.now() - started) / 1000;
    const after = await examine(sample, trainedFiles(files, model), unseen, settings);
    progress(`${name}: ${after} of ${unseen.length} right after`);
    rows.push({
      name,
      before: before / unseen.length,
      after: after / unseen.length,
      loss: reports.at(-1).loss,
      tokens: reports.reduce((sum, report) => sum + report.tokens, 0),
      seconds,
    });
    trainer.release();
    model.release();
  }
  return { settings, rows };
}

/** Longest answer: three lines of reasoning and a sum. */
const MOST_TOKENS = 64;
const BATCH = 100;

/** How many problems a model answers rightly, greedily, many at once. */
export async function examine({ device, tokenizer, files }, modelFiles, unseen, { digits }) {
  const model = await loadModel(modelFiles, device);
  const end = files.config.eosTokenIds[0];
  let right = 0;
  for (let first = 0; first < unseen.length; first += BATCH) {
    const some = unseen.slice(first, first + BATCH);
    const cache = model.createCache({ capacity: some.length * 128, pageTokens: 16 });
    const runs = some.map(({ a, b }) => ({
      problem: { a, b },
      sequence: cache.open(),
      tokens: tokenizer.encode(promptOf(a, b, digits)),
      said: [],
    }));
    let open = runs;
    for (let i = 0; i < MOST_TOKENS && open.length > 0; i++) {
      const logits = model.forward(cache, open);
      const best = device.argmax(logits);
      const ids = await device.read(best);
      device.release(logits);
      device.release(best);
      for (const [j, run] of open.entries()) {
        run.said.push(ids[j]);
        run.tokens = Int32Array.of(ids[j]);
      }
      open = open.filter(({ said }) => said.at(-1) !== end);
    }
    right += runs.filter(({ problem, said }) => isRight(problem, tokenizer.decode(said))).length;
    cache.destroy();
  }
  model.release();
  return right;
}
