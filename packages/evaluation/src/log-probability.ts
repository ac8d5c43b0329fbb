import { EvaluationError } from "./errors";

/** A row of logits: `values[start … end - 1]`. */
export interface Row {
  readonly values: Float32Array;
  readonly start: number;
  readonly end: number;
}

/** Row `index` of `[rows, columns]` values. */
export function rowOf(values: Float32Array, index: number, columns: number): Row {
  return { values, start: index * columns, end: (index + 1) * columns };
}

/** Index within the row of its largest entry, the first among equals. Throws EvaluationError `InvalidLogits`. */
export function argmax({ values, start, end }: Row): number {
  let best = -1;
  let top = -Infinity;
  for (let index = start; index < end; index++) {
    const value = values[index]!;
    if (value > top) {
      top = value;
      best = index;
    }
  }
  if (best < 0) throw invalidLogits();
  return best - start;
}

/** `log sum exp x` in float64, by way of `max x + log sum exp(x - max x)`. Throws EvaluationError `InvalidLogits`. */
export function logSumExp(row: Row): number {
  const { values, start, end } = row;
  const top = values[start + argmax(row)]!;
  let sum = 0;
  for (let index = start; index < end; index++) sum += Math.exp(values[index]! - top);
  const result = top + Math.log(sum);
  if (!Number.isFinite(result)) throw invalidLogits();
  return result;
}

/** `-log softmax(x)[target]` in nats. Throws EvaluationError `InvalidLogits`. */
export function negativeLogLikelihood(row: Row, target: number, logSum = logSumExp(row)): number {
  return logSum - row.values[row.start + target]!;
}

/**
 * Kullback-Leibler divergence of `softmax(b)` from `softmax(a)` in nats:
 *
 *     KL(a‖b) = sum_i p_i (log p_i - log q_i) = sum_i p_i (a_i - b_i) - logSumExp a + logSumExp b
 *
 * Throws EvaluationError `InvalidLogits`.
 */
export function klDivergence(
  a: Row,
  b: Row,
  logSumA = logSumExp(a),
  logSumB = logSumExp(b),
): number {
  let mean = 0;
  for (let index = a.start, other = b.start; index < a.end; index++, other++) {
    const logit = a.values[index]!;
    const probability = Math.exp(logit - logSumA);
    if (probability > 0) mean += probability * (logit - b.values[other]!);
  }
  // Negative only by rounding.
  return Math.max(0, mean - logSumA + logSumB);
}

/** `max_i |a_i - b_i|`. */
export function maxDifference(a: Row, b: Row): number {
  let largest = 0;
  for (let index = a.start, other = b.start; index < a.end; index++, other++) {
    const difference = Math.abs(a.values[index]! - b.values[other]!);
    if (difference > largest) largest = difference;
  }
  return largest;
}

function invalidLogits(): EvaluationError {
  return new EvaluationError(
    "InvalidLogits",
    "The model gave logits that are NaN or infinite; its weights may be damaged or too large for their number format.",
  );
}
