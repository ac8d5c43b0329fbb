import fc from "fast-check";
import { expect, it } from "vitest";
import { calibrationSequences } from "./calibration-sequences";

/** Every token is its own position, so that a sequence shows where it was cut. */
const positions = (length: number) => Int32Array.from({ length }, (_, index) => index);

it("cuts whole sequences without overlap wherever the text is long enough", () => {
  const sizes = fc.record({
    samples: fc.integer({ min: 2, max: 20 }),
    sequenceLength: fc.integer({ min: 2, max: 30 }),
    seed: fc.maxSafeNat(),
    spare: fc.integer({ min: 0, max: 100 }),
  });
  fc.assert(
    fc.property(sizes, ({ spare, ...size }) => {
      const tokens = positions(size.samples * size.sequenceLength + spare);
      const sequences = calibrationSequences(tokens, size);
      const seen = sequences.flatMap((sequence) => [...sequence]);
      const consecutive = sequences.every((sequence) =>
        sequence.every((token, index) => token === sequence[0]! + index),
      );
      return (
        consecutive &&
        sequences.length === size.samples &&
        new Set(seen).size === size.samples * size.sequenceLength
      );
    }),
  );
});

it("cuts the same places for the same seed only", () => {
  const cut = (seed: number) =>
    calibrationSequences(positions(1000), { samples: 4, sequenceLength: 10, seed });
  expect(cut(1)).toEqual(cut(1));
  expect(cut(1)).not.toEqual(cut(2));
});

it("reaches the first and the last token", () => {
  const starts = new Set<number>();
  for (let seed = 0; seed < 200; seed++) {
    const size = { samples: 2, sequenceLength: 4, seed };
    for (const [start] of calibrationSequences(positions(10), size)) starts.add(start!);
  }
  expect([...starts].toSorted((a, b) => a - b)).toEqual([0, 1, 2, 4, 5, 6]);
});

it("lets sequences overlap in a text that is too short for all of them", () => {
  const size = { samples: 8, sequenceLength: 10, seed: 3 };
  const sequences = calibrationSequences(positions(25), size);
  expect(sequences).toHaveLength(8);
  expect(Math.max(...sequences.flatMap((sequence) => [...sequence]))).toBeLessThan(25);
});

it("refuses a text that does not hold two, saying how long it must be", () => {
  const size = { samples: 8, sequenceLength: 10, seed: 3 };
  expect(() => calibrationSequences(positions(19), size)).toThrow(
    expect.objectContaining({
      code: "TextTooShort",
      message: expect.stringContaining("need 20 tokens (two samples of 10), got 19"),
      context: { need: 20, got: 19 },
    }),
  );
  expect(calibrationSequences(positions(20), size)).toHaveLength(8);
});
