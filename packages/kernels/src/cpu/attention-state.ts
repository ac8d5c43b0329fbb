import type { AttentionSequence } from "../device";
import { floatPlane, type CachePlane } from "./cache-rows";
import { ranges, type Call, type Pointer } from "./kernels";
import { placeIntegers, type Runtime } from "./runtime";

/** One term of the logits: queries `[tokens * heads, width]` and rows of keys. */
export interface LogitPart {
  readonly query: Pointer;
  readonly keys: CachePlane;
  readonly width: number;
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
  readonly softCap: number | undefined;
  /** Positions of the longest sequence whose context is visited in segments; 0: blocks of rows are visited one after the other. */
  readonly longest: number;
}

const TASK_BYTES = 37 * 4;
const NO_WINDOW = 2 ** 31 - 1;
/** Below every logit; as in `assembly/attention.ts`. */
const LOWEST = -3e38;

/** Query rows (heads of tokens) that the kernel handles at once (`assembly/attention.ts`). */
const BLOCK_ROWS = 64;
/** Multiply-adds below which an attention stays on one thread (some 10 microseconds). */
const WORTH_SPLITTING = 100_000;
/** Pieces per thread where query tokens are shared out: they take different times. */
const PIECES = 4;

/**
 * The online softmax of every row (token and head) of an attention: visits keys, then normalises. Contexts are visited in
 * segments at fixed positions, each with a softmax of its own, which are folded together in order. Where there are fewer
 * queries than threads, threads share segments out and every segment has a state; else a second state takes one segment after
 * the other. Either way the result is the same to the bit. Its memory belongs to the caller's `temporarily`.
 */
export class AttentionState {
  readonly #runtime: Runtime;
  readonly #sizes: AttentionSizes;
  readonly #allocate: (bytes: number) => number;
  /** `valueDim` rounded up to what the kernels handle at once. */
  readonly #valueWidth: number;
  readonly #rows: number;
  /** Where segments begin, and the end of the last one; empty without segments. */
  readonly #starts: readonly number[];
  /** Whether every segment has a state of its own. */
  readonly #separate: boolean;
  readonly #states: number;
  /** `[states, rows, valueWidth]` and `[states, rows]`: see `assembly/task.ts`. */
  readonly #output: Pointer;
  readonly #largest: Pointer;
  readonly #sum: Pointer;

  constructor(runtime: Runtime, sizes: AttentionSizes, allocate: (bytes: number) => number) {
    this.#runtime = runtime;
    this.#sizes = sizes;
    this.#allocate = allocate;
    this.#valueWidth = Math.ceil(sizes.valueDim / 8) * 8;
    this.#rows = sizes.tokens * sizes.heads;
    this.#starts = sizes.longest > 0 ? runtime.segmentStarts(sizes.longest) : [];
    const segments = Math.max(1, this.#starts.length - 1);
    this.#separate = runtime.threads > 1 && sizes.tokens < 2 * runtime.threads;
    this.#states = this.#separate ? segments : Math.min(2, segments);
    const states = this.#states * this.#rows;
    this.#output = allocate(4 * states * this.#valueWidth);
    this.#largest = allocate(4 * states);
    this.#sum = allocate(4 * states);
    const { memory } = runtime;
    memory.view(this.#output, states * this.#valueWidth).fill(0);
    memory.view(this.#largest, states).fill(LOWEST);
    memory.view(this.#sum, states).fill(0);
  }

  /** Lets the queries of sequences see rows; each sequence has its own. */
  visit(
    visits: readonly { readonly sequence: AttentionSequence; readonly range: KeyRange }[],
    parts: readonly LogitPart[],
    values: CachePlane,
    sharing: Sharing,
  ): void {
    const tasks = visits.flatMap(({ sequence, range }) =>
      this.#cut(sequence, range, parts).map(([from, count, { start, end }, state]) =>
        this.#task(sequence, from, count, { ...range, start, end }, state, parts, values, sharing),
      ),
    );
    const { memory } = this.#runtime;
    const pointer = this.#allocate(TASK_BYTES * tasks.length);
    const calls = tasks.map((fields, i): Call => {
      return ["attend", placeIntegers(memory, pointer + i * TASK_BYTES, fields)];
    });
    this.#runtime.run(calls);
  }

  /** Joins what segments saw and divides by the sums of weights, into rows of `valueDim` numbers at `to`; rows of no sequence become zero. */
  normalise(to: Pointer): void {
    const { valueDim } = this.#sizes;
    const rows = this.#rows;
    const pieces = this.#separate ? this.#states : 1;
    const parts = pieces * rows * valueDim < WORTH_SPLITTING ? 1 : this.#runtime.threads;
    this.#runtime.run(
      ranges(rows, parts, 1).map(({ first, count }): Call => {
        const state = [this.#output, this.#largest, this.#sum, pieces, rows] as const;
        return ["joinStates", to, ...state, first, count, valueDim, this.#valueWidth];
      }),
    );
  }

  /** Query tokens (first and number), keys and number of the first state, of every task. */
  #cut(
    { queryCount }: AttentionSequence,
    { start, end }: KeyRange,
    parts: readonly LogitPart[],
  ): [number, number, { start: number; end: number }, number][] {
    const { threads } = this.#runtime;
    const { heads, valueDim } = this.#sizes;
    const width = parts.reduce((sum, part) => sum + part.width, valueDim);
    const work = queryCount * heads * (end - start) * width;
    const isSmall = threads === 1 || work < WORTH_SPLITTING;
    if (this.#separate && this.#starts.length > 0) {
      return this.#segments(start, end, isSmall ? 1 : PIECES * threads).map((range) => {
        return [0, queryCount, range, range.first];
      });
    }
    if (isSmall) return [[0, queryCount, { start, end }, 0]];
    const unit = Math.max(1, Math.floor(BLOCK_ROWS / heads));
    return ranges(queryCount, PIECES * threads, unit).map(({ first, count }) => {
      return [first, count, { start, end }, 0];
    });
  }

  /** Cuts positions into at most about `pieces` ranges of whole segments; `first` is the number of a range's first segment. */
  #segments(
    start: number,
    end: number,
    pieces: number,
  ): { readonly start: number; readonly end: number; readonly first: number }[] {
    const enough = (end - start) / pieces;
    const cuts: { start: number; end: number; first: number }[] = [];
    let from = start;
    let first = this.#starts.findLastIndex((position) => position <= start);
    for (let segment = first; from < end; segment++) {
      const stop = Math.min(end, this.#starts[segment + 1]!);
      if (stop < end && stop - from < enough) continue;
      cuts.push({ start: from, end: stop, first });
      from = stop;
      first = segment + 1;
    }
    return cuts;
  }

  /** The fields of `Task` in assembly/task.ts. */
  #task(
    { queryStart, queryCount, length }: AttentionSequence,
    firstQuery: number,
    queries: number,
    range: KeyRange,
    state: number,
    [a = NONE, b = NONE]: readonly LogitPart[],
    values: CachePlane,
    { keyHeads, keyWidth, valueHeads, valueWidth }: Sharing,
  ): number[] {
    const { heads, scale, window, softCap = 0 } = this.#sizes;
    // Both slices of keys and slices of values serve whole groups.
    const groupHeads = greatestCommonDivisor(heads / keyHeads, heads / valueHeads);
    const groups = heads / groupHeads;
    const states = state * this.#rows;
    // A flat list, because this runs for every layer of every token.
    const fields = [
      a.query,
      a.keys.pointer,
      a.width,
      a.keys.width,
      b.query,
      b.keys.pointer,
      b.width,
      b.keys.width,
      values.pointer,
      values.width,
      this.#valueWidth,
      this.#output + 4 * states * this.#valueWidth,
      this.#largest + 4 * states,
      this.#sum + 4 * states,
      heads,
      groups,
      groupHeads,
      groups / keyHeads,
      keyWidth,
      groups / valueHeads,
      valueWidth,
      queryStart + firstQuery,
      queries,
      length - queryCount + firstQuery,
      window ?? NO_WINDOW,
      range.pages,
      range.pageTokens,
      range.base,
      range.start,
      range.end,
      bitsOf(scale),
      a.keys.storage,
      b.keys.storage,
      values.storage,
      bitsOf(softCap * Math.LOG2E),
      this.#starts.length > 0 ? this.#rows : 0,
      this.#separate ? 0 : 1,
    ];
    return fields;
  }
}

const real = new Float32Array(1);
const bits = new Int32Array(real.buffer);

/** The bits of a float32. */
function bitsOf(value: number): number {
  real[0] = value;
  return bits[0]!;
}

const NONE: LogitPart = { query: 0, keys: floatPlane(0, 0), width: 0 };

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
