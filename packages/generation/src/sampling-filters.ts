import { GenerationError } from "./errors";

/** `x + bias` for the tokens that have one; ids beyond the vocabulary count for nothing. */
export function addBias(
  logits: Float32Array,
  bias: Readonly<Record<number, number>>,
): Float32Array {
  const result = logits.slice();
  for (const [token, value] of Object.entries(bias)) {
    if (Number(token) < result.length) result[Number(token)]! += value;
  }
  return result;
}

/** `x / penalty` where `x > 0`, `x * penalty` where `x < 0`, for tokens of `seen`. */
export function penaliseRepetition(
  logits: Float32Array,
  seen: Iterable<number>,
  penalty: number,
): Float32Array {
  const result = logits.slice();
  for (const token of seen) {
    const logit = logits[token];
    if (logit !== undefined) result[token] = logit < 0 ? logit * penalty : logit / penalty;
  }
  return result;
}

/** `x - presence - count * frequency` for every token that was generated `count > 0` times. */
export function penaliseCounts(
  logits: Float32Array,
  counts: ReadonlyMap<number, number>,
  presence: number,
  frequency: number,
): Float32Array {
  const result = logits.slice();
  for (const [token, count] of counts) result[token]! -= presence + count * frequency;
  return result;
}

/** `(x - max x) / temperature`: the shift changes no probability and keeps small temperatures from overflowing. */
export function applyTemperature(logits: Float32Array, temperature: number): Float32Array {
  const top = maximum(logits);
  return logits.map((logit) => (logit - top) / temperature);
}

/** Minus infinity but for the `k` largest; among equals the lower index stays. */
export function keepTopK(logits: Float32Array, k: number): Float32Array {
  if (k >= logits.length) return logits.slice();
  const threshold = nthLargest(logits, k);
  let equals = k - logits.reduce((count, logit) => count + (logit > threshold ? 1 : 0), 0);
  return logits.map((logit) => {
    const stays = logit > threshold || (logit === threshold && equals-- > 0);
    return stays ? logit : -Infinity;
  });
}

/** Minus infinity but for the fewest largest whose probabilities reach `p` together; at least one stays. */
export function keepTopP(logits: Float32Array, p: number): Float32Array {
  // What is rarer than (1 - p) / n has less than 1 - p all together, so that p is reached without it: no need to sort it.
  const rare = (1 - p) / (2 * logits.length);
  const descending = softmax(logits)
    .filter((probability) => probability >= rare)
    .toSorted()
    .toReversed();
  let count = 0;
  for (let mass = 0; count === 0 || (mass < p && count < descending.length); count++) {
    mass += descending[count]!;
  }
  return keepTopK(logits, count);
}

/** Minus infinity where the probability is below `p` times the largest one. */
export function keepMinP(logits: Float32Array, p: number): Float32Array {
  const threshold = maximum(logits) + Math.log(p);
  return logits.map((logit) => (logit >= threshold ? logit : -Infinity));
}

/** `exp(x - max x) / sum exp(x - max x)` in float64. Throws GenerationError `InvalidLogits`. */
export function softmax(logits: Float32Array): Float64Array {
  const top = maximum(logits);
  const weights = new Float64Array(logits.length);
  let sum = 0;
  for (let index = 0; index < logits.length; index++) {
    const logit = logits[index]!;
    // Most tokens were filtered out.
    if (logit === -Infinity && top !== -Infinity) continue;
    weights[index] = Math.exp(logit - top);
    sum += weights[index]!;
  }
  if (!(sum > 0)) throw invalidLogits(logits);
  for (let index = 0; index < weights.length; index++) weights[index]! /= sum;
  return weights;
}

/** Index of the largest logit, the first among equals. Throws GenerationError `InvalidLogits`. */
export function largest(logits: Float32Array): number {
  const top = maximum(logits);
  if (!Number.isFinite(top)) throw invalidLogits(logits);
  return logits.indexOf(top);
}

/** The index at which the running sum of probabilities passes `uniform`, which is in [0, 1). */
export function pick(probabilities: Float64Array, uniform: number): number {
  let sum = 0;
  let last = 0;
  for (let index = 0; index < probabilities.length; index++) {
    const probability = probabilities[index]!;
    if (probability === 0) continue;
    sum += probability;
    last = index;
    if (uniform < sum) return index;
  }
  // The sum may end a rounding error below 1.
  return last;
}

/** The `n`-th largest value, 1 being the largest: Hoare's quickselect, as a full sort of a vocabulary takes milliseconds. */
function nthLargest(values: Float32Array, n: number): number {
  // NaN compares with nothing, so that it would end the scans; it is never kept.
  const left = values.map((value) => (Number.isNaN(value) ? -Infinity : value));
  const wanted = n - 1;
  let low = 0;
  let high = left.length - 1;
  while (low < high) {
    const pivot = left[(low + high) >> 1]!;
    let i = low;
    let j = high;
    while (i <= j) {
      while (left[i]! > pivot) i++;
      while (left[j]! < pivot) j--;
      if (i > j) break;
      [left[i], left[j]] = [left[j]!, left[i]!];
      i++;
      j--;
    }
    if (wanted <= j) high = j;
    else if (wanted >= i) low = i;
    else break;
  }
  return left[wanted]!;
}

function maximum(values: Float32Array): number {
  let top = -Infinity;
  for (const value of values) if (value > top) top = value;
  return top;
}

function invalidLogits(logits: Float32Array): GenerationError {
  return new GenerationError(
    "InvalidLogits",
    "The model gave logits that are NaN or infinite; its weights may be damaged or too large for their number format.",
    { vocabulary: logits.length },
  );
}
