import type { Model } from "@transmla/models";
import { logitsOf } from "./logit-source";
import { negativeLogLikelihood, rowOf } from "./log-probability";
import { forEachChunk, planWindows, type EvaluationOptions } from "./windows";

export interface Perplexity {
  /** `exp(nll)` */
  readonly perplexity: number;
  /** Mean negative log-likelihood per token, in nats. */
  readonly nll: number;
  /** Tokens in the mean: all but the first of every window. */
  readonly tokens: number;
  readonly seconds: number;
  readonly tokensPerSecond: number;
}

/**
 * Perplexity of a text: the token stream in windows of `context`, each from an empty cache; the mean negative
 * log-likelihood of every token after a window's first.
 *
 * @param tokens `[tokens]`, as the model's tokenizer encodes the text
 * @throws EvaluationError InvalidOption, TooFewTokens, InvalidTokens before anything is computed, InvalidLogits; the errors
 *   of `Model.forward`; the signal's reason
 */
export async function perplexity(
  model: Model,
  tokens: Int32Array,
  options: EvaluationOptions = {},
): Promise<Perplexity> {
  const { vocabSize } = model.config;
  const start = performance.now();
  const likelihood = new MeanLikelihood();
  const windows = planWindows([model], tokens, options);
  await forEachChunk([logitsOf(model, options.cacheStorage)], windows, options, (chunk) => {
    for (const [index, target] of chunk.targets.entries()) {
      likelihood.add(negativeLogLikelihood(rowOf(chunk.values[0]!, index, vocabSize), target));
    }
  });
  const seconds = (performance.now() - start) / 1000;
  const { perplexity: value, nll, count } = likelihood;
  return { perplexity: value, nll, tokens: count, seconds, tokensPerSecond: count / seconds };
}

/** Mean of negative log-likelihoods. */
export class MeanLikelihood {
  private sum = 0;
  count = 0;

  /** @param nats one negative log-likelihood */
  add(nats: number): void {
    this.sum += nats;
    this.count++;
  }

  get nll(): number {
    return this.sum / this.count;
  }

  get perplexity(): number {
    return Math.exp(this.nll);
  }
}
