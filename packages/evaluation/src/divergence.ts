import type { Model } from "@transmla/models";
import { EvaluationError } from "./errors";
import { compareRows, negativeLogLikelihood, rowOf } from "./log-probability";
import { MeanLikelihood } from "./perplexity";
import { forEachChunk, planWindows, type EvaluationOptions } from "./windows";

export interface Divergence {
  /** Mean over all positions of `KL(a‖b)`, in nats. */
  readonly meanKl: number;
  /** Largest difference of any two logits. */
  readonly maxLogitDifference: number;
  /** Part of the positions at which both models find the same token most probable. */
  readonly topAgreement: number;
  readonly perplexityA: number;
  readonly perplexityB: number;
  /** Positions compared: all tokens of all windows. */
  readonly tokens: number;
  readonly seconds: number;
}

/**
 * How far model `b` is from model `a` on a text, over the windows that `perplexity` uses. The models may be on different
 * devices.
 *
 * @param tokens `[tokens]`, as the models' tokenizer encodes the text
 * @throws EvaluationError VocabularyMismatch and what `perplexity` throws
 */
export async function divergence(
  a: Model,
  b: Model,
  tokens: Int32Array,
  options: EvaluationOptions = {},
): Promise<Divergence> {
  checkVocabularies(a, b);
  const { vocabSize } = a.config;
  const start = performance.now();
  const likelihoodA = new MeanLikelihood();
  const likelihoodB = new MeanLikelihood();
  let positions = 0;
  let sumKl = 0;
  let agreements = 0;
  let maxLogitDifference = 0;
  await forEachChunk([a, b], planWindows([a, b], tokens, options), options, (chunk) => {
    for (let index = 0; index < chunk.rows; index++) {
      const rowA = rowOf(chunk.logits[0]!, index, vocabSize);
      const rowB = rowOf(chunk.logits[1]!, index, vocabSize);
      const row = compareRows(rowA, rowB);
      const target = chunk.targets[index];
      if (target !== undefined) {
        likelihoodA.add(negativeLogLikelihood(rowA, target, row.logSumA));
        likelihoodB.add(negativeLogLikelihood(rowB, target, row.logSumB));
      }
      sumKl += row.kl;
      if (row.sameTop) agreements++;
      maxLogitDifference = Math.max(maxLogitDifference, row.maxDifference);
    }
    positions += chunk.rows;
  });
  return {
    meanKl: sumKl / positions,
    maxLogitDifference,
    topAgreement: agreements / positions,
    perplexityA: likelihoodA.perplexity,
    perplexityB: likelihoodB.perplexity,
    tokens: positions,
    seconds: (performance.now() - start) / 1000,
  };
}

function checkVocabularies(a: Model, b: Model): void {
  if (a.config.vocabSize === b.config.vocabSize) return;
  throw new EvaluationError(
    "VocabularyMismatch",
    `The models have ${a.config.vocabSize} and ${b.config.vocabSize} tokens; only models with the same vocabulary can be compared.`,
    { vocabSizeA: a.config.vocabSize, vocabSizeB: b.config.vocabSize },
  );
}
