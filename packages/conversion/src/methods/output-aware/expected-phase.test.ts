import { describe, expect, it } from "vitest";
import { smallAttention } from "../../testing";
import { ExpectedPhase, phaseValues } from "./expected-phase";

const { heads, headDim, frequencies, kvHeads } = smallAttention;
const half = headDim / 2;

/** What attention gives whose weight lies wholly on the token `distance` back. */
function concentrated(positions: Int32Array, distance: number): Float32Array {
  const seen = positions.map((position) => position - distance);
  const values = phaseValues(seen, { ...smallAttention, kvHeads: heads });
  return values;
}

describe("ExpectedPhase", () => {
  it("is exact for attention concentrated at one distance", () => {
    const positions = Int32Array.from({ length: 30 }, (_, i) => i + 3);
    const expected = new ExpectedPhase(smallAttention);
    expected.add(concentrated(positions, 3), positions);
    const { re, im } = expected.phases();
    for (let f = 0; f < half; f++) {
      // 90 % exp(3 i theta) and 10 % of the mean over all positions seen.
      let [uniformRe, uniformIm] = [0, 0];
      for (const position of positions) {
        for (let n = 0; n <= position; n++) {
          uniformRe += Math.cos(n * frequencies[f]) / (position + 1) / positions.length;
          uniformIm += Math.sin(n * frequencies[f]) / (position + 1) / positions.length;
        }
      }
      for (let i = 0; i < heads; i++) {
        expect(re[i * half + f]).toBeCloseTo(
          0.9 * Math.cos(3 * frequencies[f]) + 0.1 * uniformRe,
          6,
        );
        expect(im[i * half + f]).toBeCloseTo(
          0.9 * Math.sin(3 * frequencies[f]) + 0.1 * uniformIm,
          6,
        );
      }
    }
  });

  it("averages over batches", () => {
    const one = new ExpectedPhase(smallAttention);
    const two = new ExpectedPhase(smallAttention);
    const positions = Int32Array.from({ length: 8 }, (_, i) => i + 5);
    const mixed = concentrated(positions, 2);
    one.add(mixed, positions);
    two.add(mixed.subarray(0, 3 * heads * headDim), positions.subarray(0, 3));
    two.add(mixed.subarray(3 * heads * headDim), positions.subarray(3));
    expect(
      Math.max(...one.phases().re.map((v, i) => Math.abs(v - two.phases().re[i]))),
    ).toBeLessThan(1e-12);
  });

  it("writes the phases of a position once per key/value head", () => {
    const values = phaseValues(Int32Array.of(2), smallAttention);
    expect(values.length).toBe(kvHeads * headDim);
    expect(values[headDim + 1]).toBeCloseTo(Math.cos(2 * frequencies[1]), 6);
    expect(values[half + 1]).toBeCloseTo(-Math.sin(2 * frequencies[1]), 6);
  });
});
