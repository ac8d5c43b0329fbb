import { columnSlice, matrix, symmetricForm, type Matrix } from "@transmla/low-rank";
import type { DecoderLayer, GroupedAttentionConfig } from "@transmla/models";
import type { CalibrationStream } from "../../calibration-stream";
import type { GroupedWeights, LatentWeights } from "../../weights";
import { stackRows } from "../joint-compression";
import type { ParallelStreams } from "../parallel-streams";
import {
  fitsConstant,
  outputAwareConfig,
  type InitialWeights,
  type OutputAwareSizes,
} from "./output-aware";
import { covarianceOf, featureMap, withQueryMaps } from "./score-maps";
import type { ScoreEquations } from "./score-operator";
import { refitScores } from "./score-refit";
import { measuredPositions, projectRows, scoreSample } from "./score-samples";
import { allSteps } from "./steps";

/** Calibration tokens of which the attention is compared. */
const SAMPLE_TOKENS = 4096;

/** One layer to be fitted. */
export interface LayerScores {
  readonly grouped: GroupedWeights;
  readonly original: GroupedAttentionConfig;
  readonly initial: InitialWeights;
  readonly sizes: OutputAwareSizes;
  /** `E[x~ x~^T]` of the converted model's attention input. */
  readonly inputMoment: Matrix;
}

/** The calibration text before the layer. */
export interface ScoreStreams {
  /** What the converted layer will read. */
  readonly input: CalibrationStream;
  /** In the original model. */
  readonly teacher: CalibrationStream;
}

/** Fits a layer's query maps to what the original's queries attend to in its own stream, on a few of the calibration sequences. */
export async function refitLayerScores(
  { runner, device }: ParallelStreams,
  decoder: DecoderLayer,
  { input, teacher }: ScoreStreams,
  { grouped, original, initial, inputMoment, sizes }: LayerScores,
): Promise<LatentWeights> {
  const converted = await runner.attentionInputs(input, decoder, SAMPLE_TOKENS);
  const wanted = await runner.attentionInputs(teacher, decoder, SAMPLE_TOKENS);
  const { weights } = initial;
  const { frequencies, heads, scale } = weights.config;
  const constant = fitsConstant(sizes);
  const keyRows = weights.ropeKey ? stackRows(weights.ropeKey, weights.latent) : weights.latent;
  const equations = converted.map((x, index) =>
    layerEquations(wanted[index], x, {
      grouped,
      original,
      keyRows,
      constant,
      sequences: converted.length,
    }),
  );
  const { maps } = await refitScores(
    device,
    { heads, scale, frequencies },
    equations,
    initial.queryMaps,
  );
  const config = outputAwareConfig(original, sizes, frequencies, allSteps);
  return withQueryMaps(weights, config, grouped, maps, {
    latentCovariance: covarianceOf(weights.latent, inputMoment),
    featureMoments: maps.map((_, i) =>
      symmetricForm(
        featureMap(grouped.query, i, { headDim: original.headDim, constant }),
        inputMoment,
      ),
    ),
  });
}

/** One sequence: the original's attention in its own stream, queries and keys in the converted one. */
function layerEquations(
  teacher: Float32Array,
  converted: Float32Array,
  {
    grouped,
    original,
    keyRows,
    constant,
    sequences,
  }: {
    readonly grouped: GroupedWeights;
    readonly original: GroupedAttentionConfig;
    readonly keyRows: Matrix;
    readonly constant: boolean;
    readonly sequences: number;
  },
): ScoreEquations {
  const { heads, headDim } = original;
  const hidden = grouped.query.columns - 1;
  const positions = measuredPositions(teacher.length / hidden, { heads, sequences });
  const queries = (rows: Float32Array) =>
    projectRows(picked(rows, positions, hidden), grouped.query);
  const query = queries(converted);
  return {
    ...scoreSample(original, queries(teacher), projectRows(teacher, grouped.key), positions),
    features: Array.from({ length: heads }, (_, i) => {
      const own = columnSlice(query, i * headDim, (i + 1) * headDim);
      return constant ? withOnes(own) : own;
    }),
    keys: projectRows(converted, keyRows),
  };
}

function picked(rows: Float32Array, positions: Int32Array, hidden: number): Float32Array {
  const out = new Float32Array(positions.length * hidden);
  for (const [row, position] of positions.entries()) {
    out.set(rows.subarray(position * hidden, (position + 1) * hidden), row * hidden);
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
