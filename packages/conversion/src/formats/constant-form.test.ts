import {
  add,
  frobeniusNorm,
  matrix,
  Moments,
  multiply,
  multiplyTransposedRight,
} from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import { normal, randomMatrix } from "../testing";
import { constantLength } from "./constant-form";

const INPUTS = 24;

/** What an RMS norm hands on: rows of length `sqrt(INPUTS)` around a mean that is not zero. */
function inputs(tokens: number, seed: number): Float32Array {
  const next = normal(seed);
  const rows = new Float32Array(tokens * INPUTS);
  for (let t = 0; t < tokens; t++) {
    const row = Float64Array.from({ length: INPUTS }, (_, i) => next() * (1 + i / 8) + (i % 3));
    const length = Math.hypot(...row) / Math.sqrt(INPUTS);
    rows.set(
      row.map((value) => value / length),
      t * INPUTS,
    );
  }
  return rows;
}

async function measured(tokens: number) {
  const rows = inputs(tokens, 1);
  const moments = new Moments(INPUTS);
  moments.add(rows);
  const samples = async (count: number) => [rows.subarray(0, Math.min(count, tokens) * INPUTS)];
  return { moment: moments.augmented(), samples };
}

/** Standard deviation of the rows' lengths after `down`, relative to their mean, and their root mean square. */
function lengths(down: Float64Array, rows: Float32Array): { deviation: number; size: number } {
  const n = down.length / (INPUTS + 1);
  const found = Array.from({ length: rows.length / INPUTS }, (_, t) => {
    const z = Array.from({ length: n }, (_u, i) => {
      let sum = 0;
      for (let x = 0; x < INPUTS; x++) sum += down[i * (INPUTS + 1) + x] * rows[t * INPUTS + x];
      return sum;
    });
    return Math.hypot(...z) / Math.sqrt(n);
  });
  const mean = found.reduce((a, b) => a + b) / found.length;
  const variance = found.reduce((sum, value) => sum + (value - mean) ** 2, 0) / found.length;
  return { deviation: Math.sqrt(variance) / mean, size: mean };
}

/** Channels without a bias. */
function channels(n: number): { rows: ReturnType<typeof matrix> } {
  const rows = randomMatrix(n, INPUTS + 1, 2);
  for (let i = 0; i < n; i++) rows.data[(i + 1) * (INPUTS + 1) - 1] = 0;
  return { rows };
}

describe("constantLength", () => {
  it.each([
    [24, 0.02],
    [16, 0.1],
  ])("%d channels of 24 dimensions, on other text", async (n, most) => {
    const { rows } = channels(n);
    const { down } = await constantLength(rows, await measured(3000));
    const before = lengths(rows.data, inputs(500, 7));
    const after = lengths(down.data, inputs(500, 7));
    expect(after.deviation).toBeLessThan(most);
    expect(after.deviation).toBeLessThan(0.8 * before.deviation);
    expect(Math.abs(after.size - 1)).toBeLessThan(0.03);
  });

  it("gives the way back", async () => {
    const { rows } = channels(10);
    const { down, unmix } = await constantLength(rows, await measured(1000));
    expect(frobeniusNorm(add(multiply(unmix, down), rows, -1))).toBeLessThan(1e-9);
    // No channel is hidden behind the others.
    expect(frobeniusNorm(multiplyTransposedRight(unmix, unmix))).toBeLessThan(1e3);
  });

  it("takes channels that are always zero", async () => {
    const { rows } = channels(4);
    rows.data.fill(0, 0, INPUTS + 1);
    const { down, unmix } = await constantLength(rows, await measured(1000));
    expect(down.data.every(Number.isFinite)).toBe(true);
    expect(frobeniusNorm(add(multiply(unmix, down), rows, -1))).toBeLessThan(1e-6);
  });
});
