import { GenerationError } from "./errors";
import { Random } from "./random";

/** How the next token is chosen. Without any option: greedily. */
export interface SamplingOptions {
  /** Divides the logits; 0 chooses the largest logit (default 0). */
  readonly temperature?: number | undefined;
  /** Only the `topK` most probable tokens; 0 is no limit (default 0). */
  readonly topK?: number | undefined;
  /** Only the most probable tokens that together reach this probability (default 1; Holtzman et al., arXiv 1904.09751). */
  readonly topP?: number | undefined;
  /** Only tokens at least this fraction as probable as the best one (default 0; Nguyen et al., arXiv 2407.01082). */
  readonly minP?: number | undefined;
  /** Divides positive and multiplies negative logits of tokens seen before (default 1; Keskar et al., arXiv 1909.05858). */
  readonly repetitionPenalty?: number | undefined;
  /** Equal seeds give equal choices: a safe integer from 0 on (default: random). */
  readonly seed?: number | undefined;
}

type SamplingNumbers = Required<{ [K in Exclude<keyof SamplingOptions, "seed">]: number }>;

/**
 * Chooses tokens of one sequence. The order of the steps is that of Hugging Face transformers: repetition penalty,
 * temperature, top-k, top-p, min-p, each over what the one before left.
 */
export class Sampler {
  private readonly options: SamplingNumbers;
  private readonly random: Random;
  private readonly seen: Set<number>;

  /** `promptTokens` count as seen. Throws GenerationError `InvalidOption`. */
  constructor(options: SamplingOptions = {}, promptTokens: Iterable<number> = []) {
    this.options = checkSampling(options);
    this.random = new Random(options.seed ?? Math.floor(Math.random() * 2 ** 53));
    this.seen = new Set(promptTokens);
  }

  /** The choice is the largest logit itself, so that a device can make it. */
  get isArgmax(): boolean {
    return this.options.temperature === 0 && this.options.repetitionPenalty === 1;
  }

  /** Chooses from `[vocab]` logits and remembers the choice. Throws GenerationError `InvalidLogits`. */
  choose(logits: Float32Array): number {
    const left = filterLogits(logits, this.options, this.seen);
    const isGreedy = this.options.temperature === 0;
    const token = isGreedy ? largest(left) : pick(softmax(left), this.random.next());
    this.seen.add(token);
    return token;
  }
}

/**
 * What the options leave of `[vocab]` logits, minus infinity where they leave nothing. `seen` are the tokens before. At
 * temperature 0 only the repetition penalty counts: the rest never removes the largest logit.
 *
 * Throws GenerationError `InvalidOption`, `InvalidLogits`.
 */
export function filterLogits(
  logits: Float32Array,
  options: SamplingOptions,
  seen: Iterable<number>,
): Float32Array {
  const { temperature, topK, topP, minP, repetitionPenalty } = checkSampling(options);
  let left = logits;
  if (repetitionPenalty !== 1) left = penaliseRepetition(left, seen, repetitionPenalty);
  if (temperature === 0) return left;
  left = applyTemperature(left, temperature);
  if (topK > 0) left = keepTopK(left, topK);
  if (topP < 1) left = keepTopP(left, topP);
  if (minP > 0) left = keepMinP(left, minP);
  return left;
}

const isAmount = (value: number) => Number.isFinite(value) && value >= 0;
const isFactor = (value: number) => Number.isFinite(value) && value > 0;
const isFraction = (value: number) => value >= 0 && value <= 1;
const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;

/** Fills in the defaults. Throws GenerationError `InvalidOption`. */
export function checkSampling(options: SamplingOptions): SamplingNumbers {
  const {
    temperature = 0,
    topK = 0,
    topP = 1,
    minP = 0,
    repetitionPenalty = 1,
    seed = 0,
  } = options;
  checkOption("temperature", temperature, "a number from 0 on", isAmount);
  checkOption("topK", topK, "a whole number from 0 on", isCount);
  checkOption("topP", topP, "between 0 and 1", isFraction);
  checkOption("minP", minP, "between 0 and 1", isFraction);
  checkOption("repetitionPenalty", repetitionPenalty, "above 0", isFactor);
  checkOption("seed", seed, "a whole number from 0 to 2^53 - 1", isCount);
  return { temperature, topK, topP, minP, repetitionPenalty };
}

function checkOption(
  name: string,
  value: number,
  expected: string,
  accepts: (value: number) => boolean,
): void {
  if (typeof value === "number" && accepts(value)) return;
  throw new GenerationError("InvalidOption", `${name} must be ${expected}, got ${value}.`, {
    option: name,
    value,
  });
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

/** `(x - max x) / temperature`: the shift changes no probability and keeps small temperatures from overflowing. */
export function applyTemperature(logits: Float32Array, temperature: number): Float32Array {
  const top = maximum(logits);
  return logits.map((logit) => (logit - top) / temperature);
}

/** Minus infinity but for the `k` largest; among equals the lower index stays. */
export function keepTopK(logits: Float32Array, k: number): Float32Array {
  if (k >= logits.length) return logits.slice();
  const threshold = logits.toSorted()[logits.length - k]!;
  let equals = k - logits.reduce((count, logit) => count + (logit > threshold ? 1 : 0), 0);
  return logits.map((logit) => {
    const stays = logit > threshold || (logit === threshold && equals-- > 0);
    return stays ? logit : -Infinity;
  });
}

/** Minus infinity but for the fewest largest whose probabilities reach `p` together; at least one stays. */
export function keepTopP(logits: Float32Array, p: number): Float32Array {
  const descending = softmax(logits).toSorted().toReversed();
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
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - top));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (!(sum > 0)) throw invalidLogits(logits);
  return weights.map((weight) => weight / sum);
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

function maximum(values: Float32Array): number {
  return values.reduce((top, value) => (value > top ? value : top), -Infinity);
}

function invalidLogits(logits: Float32Array): GenerationError {
  return new GenerationError(
    "InvalidLogits",
    "The model gave logits that are NaN or infinite; its weights may be damaged or too large for their number format.",
    { vocabulary: logits.length },
  );
}
