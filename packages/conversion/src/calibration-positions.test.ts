import { describe, expect, it } from "vitest";
import { FARTHEST, inOrder, skippingPositions } from "./calibration-positions";

describe("skippingPositions", () => {
  const sequences = Array.from({ length: 64 }, (_, index) => skippingPositions(256, index, 8192));

  it("leaves every second sequence whole and makes one gap in the middle half of the others", () => {
    for (const [index, positions] of sequences.entries()) {
      if (index % 2 === 0) {
        expect(positions).toEqual(inOrder(256));
        continue;
      }
      const steps = [...positions.subarray(1)].map((position, t) => position - positions[t]);
      const gaps = [...steps.entries()].filter(([, step]) => step !== 1);
      expect(gaps).toHaveLength(1);
      expect(gaps[0][0]).toBeGreaterThanOrEqual(63);
      expect(gaps[0][0]).toBeLessThan(192);
      expect(positions[255]).toBeLessThan(FARTHEST);
    }
  });

  it("spreads the gaps over all distances", () => {
    const last = sequences.filter((_, index) => index % 2 === 1).map((positions) => positions[255]);
    for (let eighth = 0; eighth < 8; eighth++) {
      const [from, to] = [256 + eighth * 224, 256 + (eighth + 1) * 224];
      const count = last.filter((position) => position >= from && position < to).length;
      expect(Math.abs(count - 4)).toBeLessThanOrEqual(1);
    }
  });

  it("stays within the model's positions", () => {
    for (let index = 0; index < 64; index++) {
      expect(skippingPositions(256, index, 300)[255]).toBeLessThan(300);
      expect(skippingPositions(256, index, 256)).toEqual(inOrder(256));
    }
  });
});
