import {
  type DecoderLayer,
  type GroupedAttentionConfig,
  type GroupedAttentionLayer,
} from "@transmla/models";
import type { CalibrationStream } from "../../calibration-stream";
import {
  readGroupedWeights,
  singleMatrix,
  type GroupedWeights,
  type SingleMatrix,
  type WrittenWeights,
} from "../../weights";
import { behindHeadNorms } from "../head-norms";
import type { ConversionJob } from "../method";
import type { OriginalBatch, ParallelStreams } from "../parallel-streams";
import { balanceRotated } from "./balance";
import { ExpectedPhase, phaseValues, type ExpectedPhases } from "./expected-phase";
import { refitLayerScores } from "./layer-scores";
import {
  fitsConstant,
  layerStatistics,
  outputAwareWeights,
  type LayerStatistics,
  type OutputAwareSizes,
} from "./output-aware";
import { OutputRefit, outputTarget } from "./output-refit";
import type { OutputAwareSteps } from "./steps";

/** A layer to be converted. */
export interface LayerUnderFit {
  readonly layer: number;
  readonly decoder: DecoderLayer;
  readonly steps: OutputAwareSteps;
}

/** What one pass over the calibration text tells about a layer, whatever sizes it is given. */
interface Measured {
  readonly original: GroupedAttentionConfig;
  readonly grouped: GroupedWeights;
  /** What the converted layer will read, and the original's stream, both before the layer. */
  readonly input: CalibrationStream;
  readonly teacher: CalibrationStream;
  readonly statistics: LayerStatistics;
  /** What the original's attention did. */
  readonly did: readonly OriginalBatch[];
}

/** A layer fitted to given sizes. */
export interface FittedLayer {
  readonly weights: WrittenWeights;
  /** Part of the weighted energy that the latent keeps. */
  readonly keptEnergy: number;
  /** The heads' outputs that its output projection meets, batch by batch, `[tokens, heads * valueDim]`; known after an output refit. */
  readonly mixed?: readonly Float32Array[];
}

/** Measures a layer once and fits it to as many sizes as wanted. */
export class LayerFit {
  private constructor(
    private readonly job: ConversionJob,
    private readonly streams: ParallelStreams,
    private readonly under: LayerUnderFit,
    private readonly measured: Measured,
  ) {}

  /** Measures the layer and moves the original's stream past it. */
  static async measure(
    job: ConversionJob,
    streams: ParallelStreams,
    under: LayerUnderFit,
  ): Promise<LayerFit> {
    const { layer, decoder, steps } = under;
    const { checkpoint, config } = job.files;
    const original = config.layers[layer].attention as GroupedAttentionConfig;
    const teacher = asItIs(streams.original);
    const input = steps.sequential ? asItIs(streams.converted) : teacher;
    const grouped = await readGroupedWeights(checkpoint, original, layer);
    const moments = await streams.moments(input, decoder);
    const phases = await expectedPhases(streams, input, decoder, original);
    const constant = fitsConstant(original, job.sizes);
    return new LayerFit(job, streams, under, {
      original,
      grouped,
      input,
      teacher,
      statistics: layerStatistics(grouped, original, moments, phases, { constant, steps }),
      did: await streams.advanceOriginal(layer, decoder),
    });
  }

  /** What the original's attention did, batch by batch. */
  get did(): readonly OriginalBatch[] {
    return this.measured.did;
  }

  /** Fits the layer to given sizes: its weights as they are written. `changes` are steps left out, or taken, this time. */
  async fit(
    sizes: OutputAwareSizes,
    changes: Partial<OutputAwareSteps> = {},
  ): Promise<FittedLayer> {
    const steps = { ...this.under.steps, ...changes };
    // In float64 a layer's matrices are the largest thing in memory: they are gone before the refit makes its own.
    const { weights, keptEnergy } = await this.attention(sizes, steps);
    if (!steps.outputRefit) return { weights, keptEnergy };
    const { output, mixed } = await this.refitOutput(weights);
    return { weights: { ...weights, output }, keptEnergy, mixed };
  }

  /** The layer's attention before its output is fitted. */
  private async attention(
    sizes: OutputAwareSizes,
    steps: OutputAwareSteps,
  ): Promise<Pick<FittedLayer, "weights" | "keptEnergy">> {
    const { grouped, original, input, teacher, statistics } = this.measured;
    const { layer, decoder } = this.under;
    const initial = outputAwareWeights(grouped, original, statistics, sizes, steps);
    const { keptEnergy } = initial;
    const scores = { grouped, original, initial, statistics, sizes };
    const fitted = steps.scoreRefit
      ? await refitLayerScores(this.streams, decoder, { input, teacher }, scores)
      : { ...initial.weights, ...initial.queries() };
    balanceRotated(fitted, statistics.keyMoment);
    const made = behindHeadNorms(fitted, grouped, original);
    const stream = this.streams.measuredInput(input, decoder, statistics.keyMoment);
    return { weights: await this.job.written(layer, made, stream), keptEnergy };
  }

  /** The output projection that brings the stream of `input` closest to the original's, and what it projects. */
  private async refitOutput(
    weights: WrittenWeights,
  ): Promise<{ readonly output: SingleMatrix; readonly mixed: readonly Float32Array[] }> {
    const { streams, measured, under } = this;
    const { layer, decoder, steps } = under;
    const { input, did } = measured;
    const { config } = weights;
    const refit = new OutputRefit(streams.device, weights.output.columns - 1, weights.output.rows);
    const all: Float32Array[] = [];
    await streams.withAttention(layer, config, this.job.encode(layer, weights), (attention) =>
      streams.runner.eachBatch(
        input,
        { planes: attention.planes, config },
        ({ x, context }) => [attention.mix(decoder.attentionInput(x), context)],
        (batch, [mixed]) => {
          const { states } = input.batches[batch];
          const { target, weights: counts } = outputTarget(did[batch], states, {
            hidden: weights.output.rows,
            normalised: decoder.normalisesOutput,
            normAware: steps.normAware,
          });
          all.push(mixed);
          return refit.add(mixed, target, counts);
        },
      ),
    );
    const output = refit.solve(weights.output, { bias: config.outputBias });
    return { output: singleMatrix(output), mixed: all };
  }
}

/** The original attention's phases on a layer's input. */
async function expectedPhases(
  { runner, device }: ParallelStreams,
  input: CalibrationStream,
  decoder: DecoderLayer,
  original: GroupedAttentionConfig,
): Promise<ExpectedPhases> {
  const attention = decoder.attention as GroupedAttentionLayer;
  const { kvHeads, headDim } = original;
  const expected = new ExpectedPhase(original);
  const positionsOf: Int32Array[] = [];
  await runner.eachBatch(
    input,
    { planes: attention.planes, config: original },
    ({ x, positions, context }) => {
      positionsOf.push(positions);
      const [, values] = context.pools;
      const rows = phaseValues(positions, original);
      const shape = [positions.length, kvHeads * headDim] as const;
      device.writePages(values, device.tensor(rows, shape), context.slots);
      return [attention.mixOver(decoder.attentionInput(x), context, values)];
    },
    (batch, [mixed]) => expected.add(mixed, positionsOf[batch]),
  );
  return expected.phases();
}

/** The stream where it is now: it stays when the other moves on. */
function asItIs({ batches }: CalibrationStream): CalibrationStream {
  return { batches: batches.map((batch) => ({ ...batch })) };
}
