import { GenerationError } from "./errors";
import { Random } from "./random";

/** How much of a text a model is measured on. */
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
 * @param tokens `[tokens]`, the whole text as the model's tokenizer encodes it
 * @throws GenerationError `TextTooShort` when not even two fit side by side: one to measure with and one to judge with
 */
export function calibrationSequences(
  tokens: Int32Array,
  { samples, sequenceLength, seed }: CalibrationSize,
): Int32Array[] {
  const least = 2 * sequenceLength;
  if (tokens.length < least) {
    throw new GenerationError(
      "TextTooShort",
      `the calibration text is too short: need ${least} tokens (two samples of ${sequenceLength}), got ${tokens.length}.`,
      { need: least, got: tokens.length },
    );
  }
  const random = new Random(seed);
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

function randomStarts(count: number, largest: number, random: Random): number[] {
  return Array.from({ length: count }, () => Math.floor(random.next() * (largest + 1)));
}

function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const keyed = items.map((item) => ({ item, key: random.next() }));
  return keyed.toSorted((a, b) => a.key - b.key).map(({ item }) => item);
}
