import type { AttentionSequence, Device, PagePool } from "../device";
import type { Random } from "./random";

/** Sequences of a batch with their pages shuffled into each other, as a real cache would have them after some use. */
export class Batch {
  readonly sequences: readonly AttentionSequence[];
  readonly tokens: number;
  readonly pages: number;

  /**
   * @param parts queries and cached rows (those of the queries included) of each sequence.
   */
  constructor(
    random: Random,
    readonly pageTokens: number,
    parts: readonly (readonly [queries: number, length: number])[],
  ) {
    const needed = parts.map(([, length]) => Math.ceil(length / pageTokens));
    this.pages = needed.reduce((sum, n) => sum + n, 0) + 2;
    const free = random.permutation(this.pages);
    const sequences: AttentionSequence[] = [];
    let queryStart = 0;
    parts.forEach(([queryCount, length], s) => {
      const pages = Int32Array.from(free.splice(0, needed[s]));
      sequences.push({ queryStart, queryCount, length, pages });
      queryStart += queryCount;
    });
    this.sequences = sequences;
    this.tokens = queryStart;
  }

  /** Makes a plane of random rows; returns it and its rows by sequence and position. */
  plane(
    device: Device,
    random: Random,
    width: number,
    amplitude = 1,
  ): { pool: PagePool; row: (sequence: number, n: number) => Float32Array } {
    const { pages, pageTokens } = this;
    const pool = device.pagePool({ pages, pageTokens, width });
    const rows = this.sequences.map(({ length }) => random.floats(length * width, amplitude));
    this.sequences.forEach((sequence, s) => {
      const slots = Int32Array.from({ length: sequence.length }, (_, n) =>
        slot(sequence, pageTokens, n),
      );
      device.writePages(pool, device.tensor(rows[s]!, [sequence.length, width]), slots);
    });
    return { pool, row: (s, n) => rows[s]!.subarray(n * width, (n + 1) * width) };
  }

  /** Calls `visit` for every query row with the positions it sees, `first … last`. */
  forEachQuery(
    window: number | undefined,
    visit: (query: { sequence: number; row: number; first: number; last: number }) => void,
  ): void {
    this.sequences.forEach(({ queryStart, queryCount, length }, sequence) => {
      for (let j = 0; j < queryCount; j++) {
        const last = length - queryCount + j;
        visit({
          sequence,
          row: queryStart + j,
          first: Math.max(0, last - (window ?? Infinity) + 1),
          last,
        });
      }
    });
  }
}

function slot({ pages }: AttentionSequence, pageTokens: number, n: number): number {
  return pages[Math.floor(n / pageTokens)]! * pageTokens + (n % pageTokens);
}

/**
 * Attention of one query as it is written in every textbook: `sum_n softmax(scale * q . k_n)_n v_n`, in float64; logits `x` are
 * `softCap * tanh(x / softCap)` where one is given.
 */
export function attend(
  query: ArrayLike<number>,
  keys: readonly ArrayLike<number>[],
  values: readonly ArrayLike<number>[],
  scale: number,
  softCap?: number,
): Float64Array {
  const logits = keys.map((key) => {
    let sum = 0;
    for (let i = 0; i < query.length; i++) sum += query[i]! * key[i]!;
    return softCap === undefined ? scale * sum : softCap * Math.tanh((scale * sum) / softCap);
  });
  const largest = Math.max(...logits);
  const weights = logits.map((logit) => Math.exp(logit - largest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const output = new Float64Array(values[0]!.length);
  values.forEach((value, n) => {
    for (let v = 0; v < output.length; v++) output[v]! += (weights[n]! / total) * value[v]!;
  });
  return output;
}

/** `first … last`, mapped. */
export function range<T>(first: number, last: number, map: (n: number) => T): T[] {
  return Array.from({ length: last - first + 1 }, (_, i) => map(first + i));
}
