import { EvaluationError } from "./errors";
import { exponential } from "./exponential";

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
  for (let index = start; index < end; index++) sum += exponential(values[index]! - top);
  const result = top + Math.log(sum);
  if (!Number.isFinite(result)) throw invalidLogits();
  return result;
}

/** `-log softmax(x)[target]` in nats. Throws EvaluationError `InvalidLogits`. */
export function negativeLogLikelihood(row: Row, target: number, logSum = logSumExp(row)): number {
  return logSum - row.values[row.start + target]!;
}

/** What two rows of logits over the same tokens have to do with each other. */
export interface RowComparison {
  /** `KL(softmax(a) ‖ softmax(b))` in nats. */
  readonly kl: number;
  readonly logSumA: number;
  readonly logSumB: number;
  /** Both find the same token most probable. */
  readonly sameTop: boolean;
  /** `max_i |a_i - b_i|` */
  readonly maxDifference: number;
}

/**
 * Compares two rows in one pass over their exponentials:
 *
 *     KL(a‖b) = sum_i p_i (log p_i - log q_i) = sum_i p_i (a_i - b_i) - logSumExp a + logSumExp b
 *
 * Throws EvaluationError `InvalidLogits`.
 */
export function compareRows(a: Row, b: Row): RowComparison {
  const [firstA, firstB] = [argmax(a), argmax(b)];
  const topA = a.values[a.start + firstA]!;
  const topB = b.values[b.start + firstB]!;
  let [sumA, sumB, weighted, largest] = [0, 0, 0, 0];
  for (let index = a.start, other = b.start; index < a.end; index++, other++) {
    const logitA = a.values[index]!;
    const logitB = b.values[other]!;
    const difference = logitA - logitB;
    const distance = Math.abs(difference);
    const weight = exponential(logitA - topA);
    sumA += weight;
    sumB += exponential(logitB - topB);
    if (weight > 0) weighted += weight * difference;
    if (distance > largest) largest = distance;
  }
  const logSumA = topA + Math.log(sumA);
  const logSumB = topB + Math.log(sumB);
  if (!Number.isFinite(logSumA) || !Number.isFinite(logSumB)) throw invalidLogits();
  // Negative only by rounding.
  const kl = Math.max(0, weighted / sumA - logSumA + logSumB);
  return { kl, logSumA, logSumB, sameTop: firstA === firstB, maxDifference: largest };
}

function invalidLogits(): EvaluationError {
  return new EvaluationError(
    "InvalidLogits",
    "The model gave logits that are NaN or infinite; its weights may be damaged or too large for their number format.",
  );
}
