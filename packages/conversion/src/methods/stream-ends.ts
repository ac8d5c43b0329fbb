import { embedTokens, outputLogits, WeightLoader } from "@transmla/models";
import type { CalibrationRunner, CalibrationStream } from "../calibration-stream";
import type { ConversionJob } from "./method";

/** The calibration sequences after the embedding. */
export async function embedCalibration(
  { device, files, signal }: ConversionJob,
  runner: CalibrationRunner,
  sequences: readonly Int32Array[],
): Promise<CalibrationStream> {
  const loader = new WeightLoader(device, files.checkpoint, signal);
  try {
    const embedding = await loader.matrix("model.embed_tokens.weight");
    return await runner.embed(sequences, (ids) =>
      embedTokens(device, files.config, embedding, ids),
    );
  } finally {
    loader.release();
  }
}

/** Mean negative log-likelihood (nats) of the next tokens of a stream that has passed all layers. */
export async function streamLoss(
  { device, files, signal }: ConversionJob,
  stream: CalibrationStream,
): Promise<number> {
  const { config } = files;
  const loader = new WeightLoader(device, files.checkpoint, signal);
  try {
    const norm = await loader.norm("model.norm", config.normOffset);
    const head = await loader.matrix(
      config.tiedEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight",
    );
    let total = 0;
    let count = 0;
    for (const { sequences, states } of stream.batches) {
      let row = 0;
      for (const tokens of sequences) {
        const rows = states.subarray(
          row * config.hiddenSize,
          (row + tokens.length) * config.hiddenSize,
        );
        row += tokens.length;
        const logits = device.scope(() => {
          const x = device.tensor(rows, [tokens.length, config.hiddenSize]);
          return outputLogits(device, config, head, device.rmsNorm(x, norm, config.normEpsilon));
        });
        const values = await device.read(logits);
        device.release(logits);
        for (let t = 0; t + 1 < tokens.length; t++) {
          const at = values.subarray(t * config.vocabSize, (t + 1) * config.vocabSize);
          total += logSumExp(at) - at[tokens[t + 1]];
          count++;
        }
      }
    }
    return total / count;
  } finally {
    loader.release();
  }
}

function logSumExp(values: Float32Array): number {
  const largest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return largest + Math.log(values.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}
