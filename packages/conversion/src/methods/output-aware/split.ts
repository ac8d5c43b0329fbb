import { matrix, type Matrix } from "@transmla/low-rank";
import type { GroupedAttentionConfig } from "@transmla/models";
import type { GroupedWeights } from "../../weights";
import type { ExpectedPhases } from "./expected-phase";
import type { FrequencyRotation } from "./rotations";
import type { KeyComponent } from "./selection";
import { allSteps, type OutputAwareSteps } from "./steps";

/** A layer's keys, divided into what keeps its rotation and what loses it; rows of augmented maps. */
export interface SplitKeys {
  /** `[ropeDim, hidden + 1]`, half-split. */
  readonly ropeKey: Matrix;
  /** Original frequency index of every kept pair. */
  readonly frequencyIndex: readonly number[];
  /** Position-free keys of every key/value head, `[kvHeads * headDim, hidden + 1]`. */
  readonly nopeKeys: Matrix;
}

/** The queries that meet them. */
export interface SplitQueries {
  /** `[heads * ropeDim, columns]` */
  readonly queryRope: Matrix;
  /** With their expected phase, `[heads * headDim, columns]`. */
  readonly queryNope: Matrix;
}

/**
 * Splits rotated keys `K' = T^H k` at every frequency. What keeps its rotation becomes pairs of the shared RoPE key. The rest goes back to
 * heads, `k^_a = sum over unkept c of conj(T^-1[c, a]) K'_c`.
 */
export function splitKeys(
  weights: Pick<GroupedWeights, "key">,
  { kvHeads, headDim }: GroupedAttentionConfig,
  rotations: readonly FrequencyRotation[],
  kept: readonly KeyComponent[],
): SplitKeys {
  const half = headDim / 2;
  const columns = weights.key.columns;
  const pairs = kept.length;
  const ropeKey = matrix(2 * pairs, columns);
  const nopeKeys = matrix(kvHeads * headDim, columns);

  for (const [pair, { frequency, component }] of kept.entries()) {
    const { forward } = rotations[frequency];
    const key: Pair = [ropeKey, pair, pair + pairs];
    for (let a = 0; a < kvHeads; a++) {
      const at = component * kvHeads + a;
      const row = a * headDim + frequency;
      addMultiple(key, [weights.key, row, row + half], forward.re[at], forward.im[at]);
    }
  }

  for (const [frequency, rotation] of rotations.entries()) {
    const lost = Array.from({ length: kvHeads }, (_, component) => component).filter(
      (component) => !kept.some((k) => k.frequency === frequency && k.component === component),
    );
    for (let a = 0; a < kvHeads; a++) {
      for (let b = 0; b < kvHeads; b++) {
        const { re, im } = backToHead(rotation, lost, a, b, kvHeads);
        const [to, from] = [a * headDim + frequency, b * headDim + frequency];
        addMultiple([nopeKeys, to, to + half], [weights.key, from, from + half], re, im);
      }
    }
  }
  return { ropeKey, nopeKeys, frequencyIndex: kept.map(({ frequency }) => frequency) };
}

/**
 * The query side of `splitKeys`: `Q' = T^-1 q` where a rotation is kept, and the expected phase, `q~ = gamma q`, for the position-free keys.
 *
 * @param query rows of any maps, `[heads * headDim, columns]`
 * @param steps `expectedPhase` off: `gamma = 1`
 */
export function splitQueries(
  query: Matrix,
  { heads, kvHeads, headDim }: GroupedAttentionConfig,
  rotations: readonly FrequencyRotation[],
  kept: readonly KeyComponent[],
  phases: ExpectedPhases,
  steps: Pick<OutputAwareSteps, "expectedPhase"> = allSteps,
): SplitQueries {
  const half = headDim / 2;
  const pairs = kept.length;
  const queryRope = matrix(heads * 2 * pairs, query.columns);
  const queryNope = matrix(heads * headDim, query.columns);
  for (const [pair, { frequency, component }] of kept.entries()) {
    const { inverse } = rotations[frequency];
    for (let i = 0; i < heads; i++) {
      const at = component * kvHeads + Math.floor((i * kvHeads) / heads);
      const row = i * headDim + frequency;
      const target: Pair = [queryRope, i * 2 * pairs + pair, i * 2 * pairs + pair + pairs];
      addMultiple(target, [query, row, row + half], inverse.re[at], inverse.im[at]);
    }
  }
  for (let frequency = 0; frequency < half; frequency++) {
    for (let i = 0; i < heads; i++) {
      const row = i * headDim + frequency;
      const at = i * half + frequency;
      const [re, im] = steps.expectedPhase ? [phases.re[at], phases.im[at]] : [1, 0];
      addMultiple([queryNope, row, row + half], [query, row, row + half], re, im);
    }
  }
  return { queryRope, queryNope };
}

/** `sum over lost c of conj(T^-1[c, a]) T^H[c, b]`; the identity if every component is lost. */
function backToHead(
  { forward, inverse }: FrequencyRotation,
  lost: readonly number[],
  a: number,
  b: number,
  n: number,
): { re: number; im: number } {
  let re = 0;
  let im = 0;
  for (const c of lost) {
    const [tr, ti] = [inverse.re[c * n + a], -inverse.im[c * n + a]];
    const [fr, fi] = [forward.re[c * n + b], forward.im[c * n + b]];
    re += tr * fr - ti * fi;
    im += tr * fi + ti * fr;
  }
  return { re, im };
}

/** Two rows of a matrix that are real and imaginary part of one complex row. */
type Pair = readonly [m: Matrix, re: number, im: number];

/** `target += (re + i im) source` */
function addMultiple(target: Pair, source: Pair, re: number, im: number): void {
  const [to, toRe, toIm] = target;
  const [from, fromRe, fromIm] = source;
  const { columns } = from;
  for (let x = 0; x < columns; x++) {
    const sourceRe = from.data[fromRe * columns + x];
    const sourceIm = from.data[fromIm * columns + x];
    to.data[toRe * columns + x] += re * sourceRe - im * sourceIm;
    to.data[toIm * columns + x] += re * sourceIm + im * sourceRe;
  }
}
