import { describe, expect, it } from "vitest";
import { Random, stateFromSeed, xoshiro128 } from "./random";

describe("Random", () => {
  it("is xoshiro128**: the first outputs of the reference code from the state 1, 2, 3, 4", () => {
    const state = Uint32Array.of(1, 2, 3, 4);
    const outputs = Array.from({ length: 10 }, () => xoshiro128(state));
    expect(outputs).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597,
      4258142804,
    ]);
  });

  it("is seeded by SplitMix64: its published first two outputs for 1234567", () => {
    const [low0, high0, low1, high1] = [...stateFromSeed(1234567)].map(BigInt);
    expect((high0! << 32n) | low0!).toBe(6457827717110365317n);
    expect((high1! << 32n) | low1!).toBe(3203168211198807973n);
  });

  it("fills [0, 1) evenly", () => {
    const random = new Random(0);
    const counts = new Uint32Array(10);
    for (let draw = 0; draw < 50_000; draw++) counts[Math.floor(random.next() * 10)]!++;
    const statistic = counts.reduce((sum, count) => sum + (count - 5000) ** 2 / 5000, 0);
    // The 99.9 % point with nine degrees of freedom.
    expect(statistic).toBeLessThan(27.9);
  });
});
