import type { AttentionSequence } from "../device";
import type { Pointer } from "./kernels";
import { placeIntegers, type Runtime } from "./runtime";

/** One term of the logits: queries `[tokens * heads, width]` and rows of keys `stride` numbers apart. */
export interface LogitPart {
  readonly query: Pointer;
  readonly keys: Pointer;
  readonly width: number;
  readonly stride: number;
}

/** Where values begin, and the numbers between their rows. */
export interface ValueRows {
  readonly values: Pointer;
  readonly stride: number;
}

/**
 * How heads share rows: `keyHeads` slices of `keyWidth` numbers in each row of the first logit part, each serving
 * `heads / keyHeads` heads, and likewise for values. The second part serves all heads.
 */
export interface Sharing {
  readonly keyHeads: number;
  readonly keyWidth: number;
  readonly valueHeads: number;
  readonly valueWidth: number;
}

/** The rows of the cache a task visits: positions `start … end - 1`, on pages that begin at position `base`. */
export interface KeyRange {
  readonly pages: Pointer;
  readonly pageTokens: number;
  readonly base: number;
  readonly start: number;
  readonly end: number;
}

/** Sizes shared by all tasks of one attention. */
export interface AttentionSizes {
  readonly tokens: number;
  readonly heads: number;
  readonly valueDim: number;
  readonly scale: number;
  readonly window: number | undefined;
}

const TASK_BYTES = 31 * 4;
const NO_WINDOW = 2 ** 31 - 1;
/** Below every logit; as in `assembly/attention.ts`. */
const LOWEST = -3e38;

/**
 * The online softmax of every row (token and head) of an attention: visits keys in any number of steps, then normalises.
 * Its memory belongs to the caller's `temporarily`.
 */
export class AttentionState {
  /** Mixtures `[tokens * heads, valueWidth]`, unnormalised until `normalise`. */
  readonly output: Pointer;
  /** `valueDim` rounded up to what the kernels handle at once. */
  readonly valueWidth: number;
  readonly #runtime: Runtime;
  readonly #sizes: AttentionSizes;
  readonly #largest: Pointer;
  readonly #sum: Pointer;
  readonly #task: Pointer;

  constructor(runtime: Runtime, sizes: AttentionSizes, allocate: (bytes: number) => number) {
    const rows = sizes.tokens * sizes.heads;
    this.#runtime = runtime;
    this.#sizes = sizes;
    this.valueWidth = Math.ceil(sizes.valueDim / 8) * 8;
    this.output = allocate(4 * rows * this.valueWidth);
    this.#largest = allocate(4 * rows);
    this.#sum = allocate(4 * rows);
    this.#task = allocate(TASK_BYTES);
    const { memory } = runtime;
    memory.view(this.output, rows * this.valueWidth).fill(0);
    memory.view(this.#largest, rows).fill(LOWEST);
    memory.view(this.#sum, rows).fill(0);
  }

  /** Lets the queries of a sequence see a range of rows. */
  visit(
    { queryStart, queryCount, length }: AttentionSequence,
    parts: readonly LogitPart[],
    { values, stride }: ValueRows,
    { keyHeads, keyWidth, valueHeads, valueWidth }: Sharing,
    range: KeyRange,
  ): void {
    const { kernels, memory, attentionWorkspace } = this.#runtime;
    const { heads, scale, window } = this.#sizes;
    const none: LogitPart = { query: 0, keys: 0, width: 0, stride: 0 };
    const [a = none, b = none] = parts;
    // Both slices of keys and slices of values serve whole groups.
    const groupHeads = greatestCommonDivisor(heads / keyHeads, heads / valueHeads);
    const groups = heads / groupHeads;
    // The order of the fields of `Task` in assembly/task.ts.
    const fields = Int32Array.from(
      [
        [a.query, a.keys, a.width, a.stride],
        [b.query, b.keys, b.width, b.stride],
        [values, stride, this.valueWidth, this.output, this.#largest, this.#sum],
        [heads, groups, groupHeads],
        [groups / keyHeads, keyWidth, groups / valueHeads, valueWidth],
        [queryStart, queryCount, length - queryCount, window ?? NO_WINDOW],
        [range.pages, range.pageTokens, range.base, range.start, range.end, 0],
      ].flat(),
    );
    new Float32Array(fields.buffer)[fields.length - 1] = scale;
    kernels.attend(placeIntegers(memory, this.#task, fields), attentionWorkspace);
  }

  /** Divides by the sums of weights, into rows of `valueDim` numbers at `to`; rows of no sequence become zero. */
  normalise(to: Pointer): void {
    const { tokens, heads, valueDim } = this.#sizes;
    this.#runtime.kernels.normaliseRows(
      to,
      this.output,
      this.#sum,
      tokens * heads,
      valueDim,
      this.valueWidth,
    );
  }
}

/** First position that any query of a sequence sees. */
export function firstSeen(
  { queryCount, length }: AttentionSequence,
  window: number | undefined,
): number {
  return window === undefined ? 0 : Math.max(0, length - queryCount - window + 1);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
