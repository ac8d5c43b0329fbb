import { loadDecoderLayer, WeightLoader } from "@transmla/models";
import type { LatentSizes, LayerSizes } from "../../options";
import type { ConversionProgress } from "../../progress";
import type { WrittenWeights } from "../../weights";
import type { ConversionJob } from "../method";
import { ParallelStreams } from "../parallel-streams";
import { LayerFit, type LayerUnderFit } from "./layer-fit";
import { outputTarget } from "./output-refit";
import { withDefaults, type OutputAwareSteps } from "./steps";

/** Calibration tokens for a trial, and the part of their sequences that judges. */
const TRIAL_TOKENS = 5120;
const HELD_OUT = 1 / 5;

/** Square error of a layer's output on held-out sequences and its square, summed in the weights of tokens. */
export interface TrialError {
  readonly difference: number;
  readonly energy: number;
}

/** Converts a layer to given sizes on a part of the calibration text, with some steps left out or taken, and judges it on another. */
export type Trial = (
  sizes: LayerSizes & Pick<LatentSizes, "ladderStep">,
  changes: Partial<OutputAwareSteps>,
) => Promise<TrialError>;

/** Runs `body` for the layers `tried` of the original, in order; nothing at all where there are none. */
export async function eachTrial(
  job: ConversionJob,
  {
    phase,
    tried,
  }: { readonly phase: ConversionProgress["phase"]; readonly tried: ReadonlySet<number> },
  body: (layer: number, trial: Trial) => Promise<void>,
): Promise<void> {
  if (tried.size === 0) return;
  const { fitted, held } = trialSequences(job.calibration);
  // Whatever is left out, a trial sees the original's stream only: nothing is converted before it.
  const steps = { ...withDefaults(job.sizes.steps), sequential: false };
  const fit = await ParallelStreams.start({ ...job, calibration: fitted }, steps);
  const judge = await ParallelStreams.start({ ...job, calibration: held }, steps);
  const last = Math.max(...tried);
  for (let layer = 0; layer <= last; layer++) {
    const loader = new WeightLoader(job.device, job.files.checkpoint, job.signal);
    try {
      const decoder = await loadDecoderLayer(loader, job.files.config, layer);
      if (tried.has(layer)) {
        const layerFit = await LayerFit.measure(job, fit, { layer, decoder, steps });
        const heldOut = await HeldOut.measure(job, judge, { layer, decoder, steps });
        await body(layer, async (sizes, changes) => {
          const { weights } = await layerFit.fit({ ...job.sizes, ...sizes }, changes);
          return heldOut.error(weights);
        });
      } else {
        await fit.advanceOriginal(layer, decoder);
        await judge.advanceOriginal(layer, decoder);
      }
    } finally {
      loader.release();
    }
    job.onProgress({ phase, done: layer + 1, total: last + 1, unit: "layers" });
  }
}

/** Sequences to fit and to judge with, at least one of each. */
function trialSequences(calibration: readonly Int32Array[]): {
  fitted: readonly Int32Array[];
  held: readonly Int32Array[];
} {
  const longest = Math.max(...calibration.map(({ length }) => length));
  const count = Math.min(calibration.length, Math.max(2, Math.floor(TRIAL_TOKENS / longest)));
  const judging = Math.max(1, Math.round(count * HELD_OUT));
  const used = calibration.slice(0, count);
  return { fitted: used.slice(judging), held: used.slice(0, judging) };
}

/** A layer on text that it was not fitted to. */
class HeldOut {
  private constructor(
    private readonly job: ConversionJob,
    private readonly streams: ParallelStreams,
    private readonly under: LayerUnderFit,
    private readonly before: ParallelStreams["original"],
    private readonly did: Awaited<ReturnType<ParallelStreams["advanceOriginal"]>>,
  ) {}

  /** Takes in what the original does and moves its stream past the layer. */
  static async measure(
    job: ConversionJob,
    streams: ParallelStreams,
    under: LayerUnderFit,
  ): Promise<HeldOut> {
    const before = { batches: streams.original.batches.map((batch) => ({ ...batch })) };
    const did = await streams.advanceOriginal(under.layer, under.decoder);
    return new HeldOut(job, streams, under, before, did);
  }

  /** `sum w |o' - o|^2` and `sum w |o|^2` of the attention's output with weights of the output refit. */
  async error(weights: WrittenWeights): Promise<TrialError> {
    const { layer, decoder, steps } = this.under;
    const { config } = weights;
    const hidden = weights.output.rows;
    let difference = 0;
    let energy = 0;
    await this.streams.withAttention(layer, config, this.job.encode(layer, weights), (attention) =>
      this.streams.runner.eachBatch(
        this.before,
        { planes: attention.planes, config },
        ({ x, context }) => [attention.forward(decoder.attentionInput(x), context)],
        (batch, [converted]) => {
          const { before, output } = this.did[batch];
          const { weights: counts } = outputTarget(this.did[batch], before, {
            hidden,
            normalised: decoder.normalisesOutput,
            normAware: steps.normAware,
          });
          for (const [token, weight] of counts.entries()) {
            const end = (token + 1) * hidden;
            let [missed, size] = [0, 0];
            for (let i = token * hidden; i < end; i++) {
              const lacks = converted[i] - output[i];
              missed += lacks * lacks;
              size += output[i] * output[i];
            }
            difference += weight * missed;
            energy += weight * size;
          }
        },
      ),
    );
    return { difference, energy };
  }
}
