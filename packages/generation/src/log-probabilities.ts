import { GenerationError } from "./errors";

/** Log-probability of a chosen token and of the likeliest ones. */
export interface TokenLogProbabilities {
  readonly logprob: number;
  /** Most probable first; among equals the lower id first. */
  readonly top: readonly { readonly token: number; readonly logprob: number }[];
}

/**
 * `x - max x - log sum exp(x - max x)` of `[vocab]` logits for `token` and for the `top` largest, in float64. Of the model's own
 * logits this is what the model thinks, before bias, penalties, temperature and constraints.
 *
 * Throws GenerationError `InvalidLogits`.
 */
export function logProbabilities(
  logits: Float32Array,
  token: number,
  top: number,
): TokenLogProbabilities {
  const best = largestIndices(logits, Math.max(1, top));
  const greatest = logits[best[0]!]!;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - greatest);
  const shift = greatest + Math.log(sum);
  if (!Number.isFinite(shift)) {
    throw new GenerationError(
      "InvalidLogits",
      "The model gave logits that are NaN or infinite, which have no probabilities.",
      { vocabulary: logits.length },
    );
  }
  const of = (index: number) => logits[index]! - shift;
  return {
    logprob: of(token),
    top: best.slice(0, top).map((index) => ({ token: index, logprob: of(index) })),
  };
}

/** Indices of the `count` largest values in descending order, kept by insertion: `count` is small. */
function largestIndices(values: Float32Array, count: number): number[] {
  const best: number[] = [];
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    if (best.length === count && !(value > values[best[count - 1]!]!)) continue;
    let at = best.length;
    while (at > 0 && value > values[best[at - 1]!]!) at--;
    best.splice(at, 0, index);
    if (best.length > count) best.pop();
  }
  return best;
}
