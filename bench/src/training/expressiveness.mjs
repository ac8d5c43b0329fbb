import { BatchStream, textDocuments, train, TrainableModel, Trainer } from "@transmla/training";
import { converted, heldOut, mean } from "./setup.mjs";

/** Equal data, order, steps and rates; each model is shown at the rate that suits it best on the text it learns. */
export const SETTINGS = {
  context: 256,
  tokens: 1024,
  steps: 60,
  rates: [1e-3],
  heldOutTokens: 4096,
};

/** The grouped original, its exact conversion, and that with an up-projection for every head: equal caches. */
const variants = {
  "GQA original": async ({ files }) => files,
  "exact MLA": (sample) => converted(sample, { method: "exact" }),
};

/** Continues training on new text from equal functions with equal caches. */
export async function expressiveness(sample, { seeds, progress }) {
  const validation = await heldOut(sample.evaluation.subarray(0, SETTINGS.heldOutTokens));
  const rows = [];
  for (const rate of SETTINGS.rates) {
    for (const seed of seeds) {
      for (const [name, make] of Object.entries(variants)) {
        const files = await make(sample);
        const curve = await run(sample, files, validation, { rate, seed });
        const last = curve.reports.slice(-20).map(({ loss }) => loss);
        const row = {
          name,
          rate,
          seed,
          trained: mean(last),
          heldOut: curve.validation.at(-1).nll,
          before: curve.validation[0].nll,
        };
        rows.push(row);
        progress(
          `${name}, rate ${rate}, seed ${seed}: ${row.trained.toFixed(4)} trained, ${row.heldOut.toFixed(4)} held out`,
        );
      }
    }
  }
  return { settings: SETTINGS, rows };
}

async function run({ device, calibration }, files, validation, { rate, seed }) {
  const model = await TrainableModel.load(files, device, { train: "attention" });
  const stream = new BatchStream(textDocuments(calibration, SETTINGS.context), {
    tokens: SETTINGS.tokens,
    seed,
  });
  const trainer = new Trainer(model, stream, {
    objective: { crossEntropy: 1 },
    steps: SETTINGS.steps,
    rate,
    schedule: { warmup: 10 },
    optimiser: { weightDecay: 0 },
  });
  const curve = await train(trainer, { validation });
  trainer.release();
  model.release();
  return curve;
}
