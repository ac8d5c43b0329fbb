import { CliError } from "./errors";

export interface CalibrationSize {
  readonly samples: number;
  /** Tokens of each sample. */
  readonly sequenceLength: number;
  readonly seed: number;
}

/**
 * Cuts sequences out of a token stream at random places, in random order. They do not overlap when the stream is long enough for
 * that; a shorter one gives overlapping ones.
 *
 * @throws CliError `TextTooShort` when not even two fit side by side: one to measure with and one to judge with
 */
export function calibrationSequences(
  tokens: Int32Array,
  { samples, sequenceLength, seed }: CalibrationSize,
): Int32Array[] {
  const least = 2 * sequenceLength;
  if (tokens.length < least) {
    throw new CliError(
      "TextTooShort",
      `the calibration text is too short: need ${least} tokens (two samples of ${sequenceLength}), got ${tokens.length}.`,
      { need: least, got: tokens.length },
    );
  }
  const random = uniform(seed);
  const slack = tokens.length - samples * sequenceLength;
  // Sorted gaps and then the samples themselves: every arrangement without overlap is equally likely.
  const starts =
    slack >= 0
      ? randomStarts(samples, slack, random)
          .toSorted((a, b) => a - b)
          .map((gap, index) => gap + index * sequenceLength)
      : randomStarts(samples, tokens.length - sequenceLength, random);
  return shuffled(starts, random).map((start) => tokens.slice(start, start + sequenceLength));
}

function randomStarts(count: number, largest: number, random: () => number): number[] {
  return Array.from({ length: count }, () => Math.floor(random() * (largest + 1)));
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const keyed = items.map((item) => ({ item, key: random() }));
  return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item);
}

/** Numbers in [0, 1) from a seed: the splitmix32 generator. */
function uniform(seed: number): () => number {
  // Both halves of a large seed count.
  let state = (seed % 2 ** 32) ^ Math.floor(seed / 2 ** 32);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
