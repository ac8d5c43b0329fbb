import { outputLogits, WeightLoader } from "@transmla/models";
import { decodeToF32, type Checkpoint } from "@transmla/tensor-io";
import type { CalibrationRunner, CalibrationStream, StreamOptions } from "../calibration-stream";
import type { ConversionJob } from "./method";

/** The calibration sequences after the embedding. */
export async function embedCalibration(
  { files: { checkpoint, config }, signal }: Pick<ConversionJob, "files" | "signal">,
  runner: CalibrationRunner,
  sequences: readonly Int32Array[],
  options?: StreamOptions,
): Promise<CalibrationStream> {
  const rows = await embeddingRows(
    checkpoint,
    new Set(sequences.flatMap((ids) => [...ids])),
    signal,
  );
  const { embeddingFactor } = config;
  if (embeddingFactor !== 1) {
    for (const row of rows.values()) for (const i of row.keys()) row[i] *= embeddingFactor;
  }
  return runner.embed(sequences, (id) => rows.get(id)!, options);
}

/** Bytes of the embedding that are read at once. */
const PIECE_BYTES = 8 << 20;

/** The embeddings of some tokens: on the device the whole table would be the largest thing in memory. */
async function embeddingRows(
  checkpoint: Checkpoint,
  ids: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<Map<number, Float32Array>> {
  const name = "model.embed_tokens.weight";
  const { dtype, shape, byteLength } = checkpoint.tensors.get(name)!;
  const rowBytes = byteLength / shape[0];
  const most = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  const wanted = [...ids].toSorted((a, b) => a - b);
  const rows = new Map<number, Float32Array>();
  while (rows.size < wanted.length) {
    const first = wanted[rows.size];
    const piece = wanted.slice(rows.size).filter((id) => id < first + most);
    const slice = { rows: [first, piece.at(-1)! + 1] as const, signal };
    const bytes = await checkpoint.readBytes(name, slice);
    for (const id of piece) {
      const at = (id - first) * rowBytes;
      rows.set(id, decodeToF32(bytes.subarray(at, at + rowBytes), dtype));
    }
  }
  return rows;
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
