import { cacheNumbersPerToken, type GroupedAttentionConfig } from "@transmla/models";
import { ConversionError } from "./errors";
import type { ConversionOptions } from "./options";

/**
 * Sizes for the methods that compress: `ropeDim` rotated dimensions and a latent of `kvLoraRank`, together `keep` of the
 * original `2 * kvHeads * headDim`. Without `ropeDim` half of the budget is for rotation, rounded down to a size the method allows.
 */
export function compressedSizes(
  original: GroupedAttentionConfig,
  options: ConversionOptions,
  allowedRopeDims: readonly number[],
): { kvLoraRank: number; ropeDim: number } {
  const before = cacheNumbersPerToken(original);
  const { keep, ropeDim: wantedRope, kvLoraRank: wantedRank } = options;
  const both = wantedRank !== undefined && wantedRope !== undefined;
  if (keep === undefined ? !both : wantedRank !== undefined) {
    throw invalid("Give either keep (part of the cache), or both kvLoraRank and ropeDim.");
  }
  if (keep !== undefined && !(keep > 0 && keep < 1)) {
    throw invalid(`keep must lie between 0 and 1 (0 % and 100 %), got ${keep}.`, { keep });
  }
  const budget = both ? wantedRank + wantedRope : Math.round(keep! * before);
  const ropeDim =
    wantedRope ?? allowedRopeDims.findLast((dim) => dim <= budget / 2) ?? allowedRopeDims[0];
  if (!allowedRopeDims.includes(ropeDim)) {
    throw invalid(
      `ropeDim ${ropeDim} is not possible for this model; possible: ${allowedRopeDims.join(", ")}.`,
      {
        ropeDim,
        allowedRopeDims,
      },
    );
  }
  const kvLoraRank = wantedRank ?? budget - ropeDim;
  const largest = before - ropeDim;
  if (!Number.isSafeInteger(kvLoraRank) || kvLoraRank < 1 || kvLoraRank > largest) {
    throw invalid(
      `kvLoraRank ${kvLoraRank} must lie between 1 and ${largest} (2 * kvHeads * headDim - ropeDim); ` +
        `the smallest cache for this model keeps ${((100 * (allowedRopeDims[0] + 1)) / before).toFixed(1)} %.`,
      { kvLoraRank, largest },
    );
  }
  return { kvLoraRank, ropeDim };
}

/** A refused setting. */
export function invalid(message: string, context: Record<string, unknown> = {}): ConversionError {
  return new ConversionError("InvalidOption", message, context);
}
