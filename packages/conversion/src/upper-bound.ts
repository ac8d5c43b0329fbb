import type { ModelFiles } from "@transmla/models";
import type { ConversionOptions } from "./options";
import { planConversion, type ConversionPlan } from "./plan";

/**
 * The plan that takes most arithmetic of those that the calibration text may choose among: that with the smallest rotated part. For
 * saying beforehand what a conversion can be run on; its cache is as large as theirs.
 *
 * @throws what `planConversion` throws
 */
export function planUpperBound(
  files: ModelFiles,
  options: Pick<ConversionOptions, "method" | "keep">,
): ConversionPlan {
  const plan = planConversion(files, options);
  const { ropeDimCandidates, ropeDim, kvLoraRank } = plan.sizes;
  if (ropeDimCandidates === undefined) return plan;
  const smallest = Math.min(...ropeDimCandidates);
  const sizes = { ropeDim: smallest, kvLoraRank: kvLoraRank + ropeDim - smallest };
  return planConversion(files, { method: options.method, ...sizes });
}
