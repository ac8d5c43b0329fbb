import type { Device } from "@transmla/kernels";
import { columnSlice, matrix, type Matrix } from "@transmla/low-rank";
import type { DecoderLayer, GroupedAttentionConfig } from "@transmla/models";
import {
  firstSequences,
  type CalibrationStream,
  type SequenceFeatures,
} from "../../calibration-stream";
import type { GroupedWeights, LatentWeights } from "../../weights";
import { stackRows } from "../joint-compression";
import type { ParallelStreams } from "../parallel-streams";
import {
  fitsConstant,
  outputAwareConfig,
  type InitialWeights,
  type LayerStatistics,
  type OutputAwareSizes,
} from "./output-aware";
import { Projection } from "./projection";
import { covarianceOf, withQueryMaps } from "./score-maps";
import type { ScoreEquations } from "./score-operator";
import { refitScores } from "./score-refit";
import { measuredTokens, scoreSample } from "./score-samples";
import { allSteps } from "./steps";

/** Calibration tokens of which the attention is compared. */
const SAMPLE_TOKENS = 16_384;

/** One layer to be fitted. */
export interface LayerScores {
  readonly grouped: GroupedWeights;
  readonly original: GroupedAttentionConfig;
  readonly initial: InitialWeights;
  readonly sizes: OutputAwareSizes;
  /** Of the converted model's attention. */
  readonly statistics: LayerStatistics;
}

/** The calibration text before the layer. */
export interface ScoreStreams {
  /** What the converted layer will read. */
  readonly input: CalibrationStream;
  /** In the original model. */
  readonly teacher: CalibrationStream;
}

/** Fits a layer's query maps to what the original's queries attend to in its own stream, on the first calibration sequences. */
export async function refitLayerScores(
  { runner, device }: ParallelStreams,
  decoder: DecoderLayer,
  { input, teacher }: ScoreStreams,
  { grouped, original, initial, statistics, sizes }: LayerScores,
): Promise<LatentWeights> {
  const { weights } = initial;
  const { frequencies, heads, scale } = weights.config;
  const constant = fitsConstant(original, sizes);
  const equations = await layerEquations(
    device,
    runner.sequenceFeatures(teacher, decoder, SAMPLE_TOKENS),
    runner.sequenceFeatures(input, decoder, SAMPLE_TOKENS),
    {
      sequences: firstSequences(input, SAMPLE_TOKENS).length,
      grouped,
      original,
      keyRows: weights.ropeKey ? stackRows(weights.ropeKey, weights.latent) : weights.latent,
      constant,
    },
  );
  const { maps } = await refitScores(
    device,
    { heads, scale, frequencies },
    equations,
    initial.queryMaps,
  );
  const config = outputAwareConfig(original, sizes, frequencies, allSteps);
  return withQueryMaps(weights, config, grouped, maps, {
    latentCovariance: covarianceOf(weights.latent, statistics.keyMoment),
    moments: statistics.featureMoments,
  });
}

/** Per sequence the original's attention in its own stream, and queries and keys in the converted one. */
async function layerEquations(
  device: Device,
  teacher: AsyncGenerator<SequenceFeatures>,
  converted: AsyncGenerator<SequenceFeatures>,
  {
    sequences,
    grouped,
    original,
    keyRows,
    constant,
  }: {
    readonly sequences: number;
    readonly grouped: GroupedWeights;
    readonly original: GroupedAttentionConfig;
    readonly keyRows: Matrix;
    readonly constant: boolean;
  },
): Promise<ScoreEquations[]> {
  const { heads, headDim } = original;
  const width = grouped.query.columns - 1;
  const maps = [grouped.query, grouped.key, keyRows].map((map) => new Projection(device, map));
  const [query, key, convertedKey] = maps;
  const equations: ScoreEquations[] = [];
  try {
    for await (const before of teacher) {
      const { value: after } = await converted.next();
      const sizes = { heads, sequences };
      const { positions } = before;
      const measured = measuredTokens(positions.length, sizes);
      const wanted = await query.images(picked(before.query, measured, width));
      const given = await query.images(picked(after.query, measured, width));
      equations.push({
        ...scoreSample(original, wanted, await key.images(before.key), { measured, positions }),
        features: Array.from({ length: heads }, (_, i) => {
          const own = columnSlice(given, i * headDim, (i + 1) * headDim);
          return constant ? withOnes(own) : own;
        }),
        keys: await convertedKey.images(after.key),
      });
    }
  } finally {
    for (const map of maps) map.release();
  }
  return equations;
}

function picked(rows: Float32Array, tokens: Int32Array, width: number): Float32Array {
  const out = new Float32Array(tokens.length * width);
  for (const [row, token] of tokens.entries()) {
    out.set(rows.subarray(token * width, (token + 1) * width), row * width);
  }
  return out;
}

function withOnes(rows: Matrix): Matrix {
  const out = matrix(rows.rows, rows.columns + 1);
  for (let row = 0; row < rows.rows; row++) {
    out.data.set(
      rows.data.subarray(row * rows.columns, (row + 1) * rows.columns),
      row * out.columns,
    );
    out.data[(row + 1) * out.columns - 1] = 1;
  }
  return out;
}
