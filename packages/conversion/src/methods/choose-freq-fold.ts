import {
  attentionPrefix,
  loadAttention,
  loadDecoderLayer,
  WeightLoader,
  type GroupedAttentionConfig,
} from "@transmla/models";
import { CalibrationRunner, type CalibrationStream } from "../calibration-stream";
import { memoryCheckpoint } from "../memory-checkpoint";
import { inSinglePrecision, readGroupedWeights } from "../weights";
import type { ConversionJob } from "./method";
import { freqFoldCandidates } from "./ro-rope";
import { embedCalibration, streamLoss } from "./stream-ends";
import { transmlaLatent, transmlaRotation } from "./transmla";

/** Part of the calibration sequences that only judges, and is not used for the rotations. */
const HELD_OUT = 1 / 8;

/** The matrices to be measured here have at most `kvHeads * headDim / 2` rows, so fewer sequences do than for the conversion. */
const MOST_FITTED = 16;

/**
 * Tries every possible fold and returns the one with the lowest loss on held-out calibration text, where the model has lost
 * rotations but is not compressed yet. All candidates move through the layers together, so the model is read once.
 */
export async function chooseFreqFold(job: ConversionJob): Promise<number> {
  const { files, device, sizes, calibration, signal } = job;
  const first = files.config.layers[0].attention as GroupedAttentionConfig;
  const folds = freqFoldCandidates(first.headDim, sizes.ropeDim);
  if (folds.length === 1) return folds[0];
  const held = Math.max(1, Math.floor(calibration.length * HELD_OUT));
  const runner = new CalibrationRunner(device, files.config, signal);
  const fit = await embedCalibration(
    job,
    runner,
    calibration.slice(0, -held).slice(0, MOST_FITTED),
  );
  const judged = await embedCalibration(job, runner, calibration.slice(-held));
  const streams = folds.map(() => ({ batches: judged.batches.map((batch) => ({ ...batch })) }));
  for (let layer = 0; layer < files.config.layers.length; layer++) {
    await advanceCandidates(job, runner, layer, fit, folds, streams);
    job.onProgress({
      phase: "choosing freqfold",
      done: layer + 1,
      total: files.config.layers.length,
      unit: "layers",
    });
  }
  const losses: number[] = [];
  for (const stream of streams) losses.push(await streamLoss(job, stream));
  return folds[losses.indexOf(Math.min(...losses))];
}

async function advanceCandidates(
  job: ConversionJob,
  runner: CalibrationRunner,
  layer: number,
  fit: CalibrationStream,
  folds: readonly number[],
  streams: readonly CalibrationStream[],
): Promise<void> {
  const { files, device, sizes, encode, signal } = job;
  const { ropeDim, qLoraRank } = sizes;
  const loader = new WeightLoader(device, files.checkpoint, signal);
  try {
    const decoder = await loadDecoderLayer(loader, files.config, layer);
    const original = files.config.layers[layer].attention as GroupedAttentionConfig;
    const grouped = await readGroupedWeights(files.checkpoint, original, layer);
    const { key: moment } = await runner.moments(fit, decoder);
    for (const [index, freqFold] of folds.entries()) {
      const candidate = { ropeDim, qLoraRank, freqFold };
      const rotation = transmlaRotation(grouped, original, moment, candidate);
      const { weights } = transmlaLatent(grouped, original, rotation, moment, candidate);
      const checkpoint = await memoryCheckpoint(encode(layer, inSinglePrecision(weights)));
      const converted = new WeightLoader(device, checkpoint);
      try {
        const attention = await loadAttention(converted, weights.config, attentionPrefix(layer));
        await runner.advance(streams[index], decoder, { layer: attention, config: weights.config });
      } finally {
        converted.release();
      }
    }
    await runner.advance(fit, decoder, { layer: decoder.attention, config: original });
  } finally {
    loader.release();
  }
}
