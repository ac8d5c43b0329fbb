import type { FormatName } from "./formats";
import type { MethodName } from "./methods";
import type { OutputAwareSteps } from "./methods/output-aware/steps";

/** What a caller may choose. Sizes are given as `keep`, or as `kvLoraRank` and `ropeDim`, or not at all. */
export interface ConversionOptions {
  readonly method: MethodName;
  /** Layout of the output; default native. */
  readonly format?: FormatName | undefined;
  /** Part of the original cache to keep, 0 … 1. */
  readonly keep?: number | undefined;
  readonly kvLoraRank?: number | undefined;
  readonly ropeDim?: number | undefined;
  /** Neighbouring frequencies pooled into one rotation; `auto` (default) tries all on held-out calibration text. */
  readonly freqFold?: "auto" | number | undefined;
  /** Low rank of the queries; default dense. */
  readonly qLoraRank?: number | undefined;
  /** Method `output-aware`: steps to leave out, by `false`, so that their share can be measured. Default: all are taken. */
  readonly steps?: Partial<OutputAwareSteps> | undefined;
  /** Storage of the weights; `auto` keeps the source's, see `outputDType`. */
  readonly dtype?: OutputDType | undefined;
  readonly maxShardBytes?: number | undefined;
}

export type OutputDType = "auto" | "bf16" | "f16" | "f32";

/** What a layer caches per token. */
export interface LayerSizes {
  readonly kvLoraRank: number;
  readonly ropeDim: number;
}

/** What a method settles from the options: sizes of the latent attention, and its own choices. */
export interface LatentSizes extends LayerSizes {
  /** Sizes of every layer where they differ; as many numbers in all as if every layer had `kvLoraRank + ropeDim`. */
  readonly layers?: readonly LayerSizes[] | undefined;
  /** For methods that fold. */
  readonly freqFold?: "auto" | number | undefined;
  readonly qLoraRank?: number | undefined;
  /** See `FormatNeeds`. */
  readonly standardLadder?: boolean | undefined;
  /** How many of the original's frequencies such a ladder goes on at a time, at least 1 (the default: its highest ones). */
  readonly ladderStep?: number | undefined;
  /** For method `output-aware`. */
  readonly steps?: OutputAwareSteps | undefined;
  /** Values of `ropeDim` to choose from on held-out calibration text, the sum with `kvLoraRank` staying; absent when it is settled. */
  readonly ropeDimCandidates?: readonly number[] | undefined;
  /** Values of `ladderStep` to choose from in the same way; those that lead beyond the lowest frequency are left out. */
  readonly ladderSteps?: readonly number[] | undefined;
  /** Whether held-out calibration text may still give layers sizes of their own. */
  readonly layersDiffer?: boolean | undefined;
}

/** What the calibration text settles about sizes. */
export type ChosenSizes = Pick<LatentSizes, "ropeDim" | "ladderStep" | "layers">;

/** A layer's sizes. */
export function sizesOfLayer({ layers, ...sizes }: LatentSizes, layer: number): LatentSizes {
  return { ...sizes, ...layers?.[layer] };
}

/** What an output format asks of a method. */
export interface FormatNeeds {
  /** The rotated frequencies must be those of one `rope_theta` in order, the same in every layer. */
  readonly standardLadder: boolean;
  /** Channels of the latent that the format takes for itself. */
  readonly latentChannels: number;
}
