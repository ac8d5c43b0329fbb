import { columnSlice, multiplyTransposedRight, type Matrix } from "@transmla/low-rank";
import type { GroupedAttentionConfig } from "@transmla/models";

/** Part of uniform attention in the weights: a pair that the text at hand ignores may matter in another. */
const UNIFORM = 0.1;
/** Log-probabilities below this count as this: how small a negligible one is does not matter. */
const LEAST_LOG = -40;
/** Queries measured, over all sequences, and pairs of query, head and key: bound time and memory. */
const MOST_QUERIES = 4096;
const MOST_PAIRS = 1 << 24;

/** Which queries of a sequence are measured, and where its tokens are. */
export interface MeasuredQueries {
  /** Tokens whose queries are measured, by their number in the sequence. */
  readonly measured: Int32Array;
  /** Of all tokens of the sequence, `[length]`; some may be left out. */
  readonly positions: Int32Array;
}

/** What the original attends to in one sequence, from some of its tokens. Rows are `[heads, measured]`, columns the sequence's tokens. */
export interface ScoreSample extends MeasuredQueries {
  /** The original's logits before any soft cap, less the log of the sum of their exponentials; 0 where a query does not see a token. */
  readonly scores: Float32Array;
  /**
   * `0.9 p + 0.1 uniform`, every row summing to 1; 0 where a query does not see a token. Under a soft cap times the square of its
   * slope, since an error of a logit reaches the softmax that much smaller.
   */
  readonly weights: Float32Array;
}

/** Evenly spread tokens of a sequence, so that those of all sequences together stay within the limits. */
export function measuredTokens(
  length: number,
  { heads, sequences }: { readonly heads: number; readonly sequences: number },
): Int32Array {
  const most = Math.min(MOST_QUERIES, MOST_PAIRS / (heads * length)) / sequences;
  const stride = Math.ceil(length / Math.max(1, most));
  return Int32Array.from(
    { length: Math.floor(length / stride) },
    (_, index) => (index + 1) * stride - 1,
  );
}

/**
 * The original's attention from some tokens of one sequence.
 *
 * @param query `[measured, heads * headDim]`, before rotation
 * @param key `[length, kvHeads * headDim]`, before rotation
 */
export function scoreSample(
  config: GroupedAttentionConfig,
  query: Matrix,
  key: Matrix,
  { measured, positions }: MeasuredQueries,
): ScoreSample {
  const { heads, kvHeads, headDim, frequencies, scale, window = Infinity, softCap } = config;
  const [length, rows] = [key.rows, measured.length];
  const scores = new Float32Array(heads * rows * length);
  const weights = new Float32Array(heads * rows * length);
  const rotated = (rowsOf: Matrix, head: number, angles: Angles) => {
    const part = columnSlice(rowsOf, head * headDim, (head + 1) * headDim);
    rotateRows(part, angles);
    return part;
  };
  const keyAngles = anglesOf(positions, frequencies);
  const keys = Array.from({ length: kvHeads }, (_, a) => rotated(key, a, keyAngles));
  const queryAngles = anglesOf(positionsOfMeasured({ measured, positions }), frequencies);
  for (let i = 0; i < heads; i++) {
    const queries = rotated(query, i, queryAngles);
    const logits = multiplyTransposedRight(queries, keys[Math.floor((i * kvHeads) / heads)]).data;
    for (const [row, token] of measured.entries()) {
      const first = Math.max(0, token - window + 1);
      const start = row * length;
      const seen = logits.subarray(start + first, start + token + 1);
      const total = logSumExp(seen, scale);
      const target = (i * rows + row) * length + first;
      for (let n = 0; n < seen.length; n++) {
        const log = Math.max(LEAST_LOG, scale * seen[n] - total);
        scores[target + n] = log;
        weights[target + n] = (1 - UNIFORM) * Math.exp(log) + UNIFORM / seen.length;
      }
      if (softCap !== undefined) weights.set(cappedWeights(seen, scale, softCap), target);
    }
  }
  return { measured, positions, scores, weights };
}

/** `[measured]` */
export function positionsOfMeasured({ measured, positions }: MeasuredQueries): Int32Array {
  return measured.map((token) => positions[token]);
}

/** The weights of capped logits, times the squared slope of the cap at each of them, divided by the sum. */
function cappedWeights(logits: Float64Array, scale: number, cap: number): Float64Array {
  const tanh = logits.map((logit) => Math.tanh((scale * logit) / cap));
  const total = logSumExp(tanh, cap);
  const weights = tanh.map((value) => {
    const p = Math.exp(Math.max(LEAST_LOG, cap * value - total));
    return ((1 - UNIFORM) * p + UNIFORM / logits.length) * (1 - value ** 2) ** 2;
  });
  const sum = weights.reduce((all, weight) => all + weight, Number.MIN_VALUE);
  return weights.map((weight) => weight / sum);
}

/** Log of the sum of `exp(scale * logit)`. */
function logSumExp(logits: Float64Array, scale: number): number {
  let most = -Infinity;
  for (let n = 0; n < logits.length; n++) most = Math.max(most, scale * logits[n]);
  let sum = 0;
  for (let n = 0; n < logits.length; n++) sum += Math.exp(scale * logits[n] - most);
  return most + Math.log(sum);
}

/** Cosines and sines of `position * frequency`, `[positions, frequencies]` each. */
export interface Angles {
  readonly cos: Float64Array;
  readonly sin: Float64Array;
  /** Frequencies. */
  readonly half: number;
}

export function anglesOf(positions: Int32Array, frequencies: Float64Array): Angles {
  const half = frequencies.length;
  const angles = new Float64Array(positions.length * half);
  for (const [row, position] of positions.entries()) {
    for (let f = 0; f < half; f++) angles[row * half + f] = position * frequencies[f];
  }
  return { cos: angles.map(Math.cos), sin: angles.map(Math.sin), half };
}

/** A matrix in either precision. */
export interface Rows {
  readonly data: Float32Array | Float64Array;
  readonly rows: number;
  readonly columns: number;
}

/** Rotates the first `2 * half` numbers of every row, half-split, by the angles of that row; `back` turns the other way. In place. */
export function rotateRows(
  { data, columns, rows }: Rows,
  { cos, sin, half }: Angles,
  back = false,
): void {
  const sign = back ? -1 : 1;
  for (let row = 0; row < rows; row++) {
    for (let f = 0; f < half; f++) {
      const at = row * columns + f;
      const c = cos[row * half + f];
      const s = sign * sin[row * half + f];
      const [re, im] = [data[at], data[at + half]];
      data[at] = re * c - im * s;
      data[at + half] = im * c + re * s;
    }
  }
}
