import { Random } from "./random";
import {
  addBias,
  applyTemperature,
  keepMinP,
  keepTopK,
  keepTopP,
  largest,
  penaliseCounts,
  penaliseRepetition,
  pick,
  softmax,
} from "./sampling-filters";
import { checkSampling, type CheckedSampling, type SamplingOptions } from "./sampling-options";

/** What the penalties look back on. */
export interface TokenHistory {
  /** Tokens of the prompt and of the text so far. */
  readonly seen: Iterable<number>;
  /** How often each token was generated. */
  readonly counts: ReadonlyMap<number, number>;
}

/**
 * Chooses tokens of one sequence. The order of the steps is that of Hugging Face transformers: bias, repetition penalty,
 * presence and frequency penalties, temperature, top-k, top-p, min-p, each over what the one before left.
 */
export class Sampler {
  private readonly options: CheckedSampling;
  private readonly random: Random;
  private readonly seen: Set<number>;
  private readonly counts = new Map<number, number>();

  /** `promptTokens` count as seen. Throws GenerationError `InvalidOption`. */
  constructor(options: SamplingOptions = {}, promptTokens: Iterable<number> = []) {
    this.options = checkSampling(options);
    this.random = new Random(options.seed ?? Math.floor(Math.random() * 2 ** 53));
    this.seen = new Set(promptTokens);
  }

  /** The choice is the largest logit itself, so that a device can make it. */
  get isArgmax(): boolean {
    return this.options.temperature === 0 && !changesLogits(this.options);
  }

  /** Chooses from `[vocab]` logits and remembers the choice. Throws GenerationError `InvalidLogits`. */
  choose(logits: Float32Array): number {
    const left = filter(logits, this.options, { seen: this.seen, counts: this.counts });
    const isGreedy = this.options.temperature === 0;
    const token = isGreedy ? largest(left) : pick(softmax(left), this.random.next());
    this.remember(token);
    return token;
  }

  /** Counts a token as generated that was chosen elsewhere. */
  remember(token: number): void {
    this.seen.add(token);
    this.counts.set(token, (this.counts.get(token) ?? 0) + 1);
  }
}

const nothing: TokenHistory = { seen: [], counts: new Map() };

/**
 * What the options leave of `[vocab]` logits, minus infinity where they leave nothing. At temperature 0 only bias and penalties
 * count: the rest never removes the largest logit.
 *
 * Throws GenerationError `InvalidOption`, `InvalidLogits`.
 */
export function filterLogits(
  logits: Float32Array,
  options: SamplingOptions,
  history: Partial<TokenHistory> = {},
): Float32Array {
  return filter(logits, checkSampling(options), { ...nothing, ...history });
}

function filter(
  logits: Float32Array,
  options: CheckedSampling,
  { seen, counts }: TokenHistory,
): Float32Array {
  const { temperature, topK, topP, minP, repetitionPenalty } = options;
  const { presencePenalty, frequencyPenalty, logitBias } = options;
  let left = logits;
  if (hasBias(options)) left = addBias(left, logitBias);
  if (repetitionPenalty !== 1) left = penaliseRepetition(left, seen, repetitionPenalty);
  if (presencePenalty !== 0 || frequencyPenalty !== 0) {
    left = penaliseCounts(left, counts, presencePenalty, frequencyPenalty);
  }
  if (temperature === 0) return left;
  left = applyTemperature(left, temperature);
  if (topK > 0) left = keepTopK(left, topK);
  if (topP < 1) left = keepTopP(left, topP);
  if (minP > 0) left = keepMinP(left, minP);
  return left;
}

function hasBias({ logitBias }: CheckedSampling): boolean {
  for (const _ in logitBias) return true;
  return false;
}

function changesLogits(options: CheckedSampling): boolean {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = options;
  const penalises = repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0;
  return penalises || hasBias(options);
}
