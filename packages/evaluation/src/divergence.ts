import type { Model } from "@transmla/models";
import { logitsOf, modelOf, type LogitSource } from "./logit-source";
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
 * devices. Who compares many models with one records that one's states first (`recordStates`).
 *
 * @param tokens `[tokens]`, as the models' tokenizer encodes the text
 * @throws EvaluationError VocabularyMismatch and what `perplexity` throws
 */
export async function divergence(
  a: LogitSource,
  b: LogitSource,
  tokens: Int32Array,
  options: EvaluationOptions = {},
): Promise<Divergence> {
  const models = [modelOf(a), modelOf(b)] as const;
  checkVocabularies(...models);
  const { vocabSize } = models[0].config;
  const start = performance.now();
  const likelihoodA = new MeanLikelihood();
  const likelihoodB = new MeanLikelihood();
  let positions = 0;
  let sumKl = 0;
  let agreements = 0;
  let maxLogitDifference = 0;
  const windows = planWindows(models, tokens, options);
  await forEachChunk([logitsOf(a), logitsOf(b)], windows, options, (chunk) => {
    for (let index = 0; index < chunk.rows; index++) {
      const rowA = rowOf(chunk.values[0]!, index, vocabSize);
      const rowB = rowOf(chunk.values[1]!, index, vocabSize);
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
