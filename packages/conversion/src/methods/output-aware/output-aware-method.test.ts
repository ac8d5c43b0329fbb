import { describe, expect, it } from "vitest";
import { changedLlama, converted, largestDifference, logitsOf, tokens } from "../../testing-models";
import type { OutputAwareSteps } from "./steps";

/** All sign changes of one sequence: over them the four dimensions of a token have mean zero and are uncorrelated. */
const base = tokens(48, 1).map((token) => token % 16);
const calibration = Array.from({ length: 16 }, (_, signs) => base.map((token) => token ^ signs));

const bitOf = (token: number, j: number) => ((token >> j) % 2 === 1 ? 1 : -1);

/** Means of everything up to here. */
function runningMean(values: readonly number[]): number[] {
  let sum = 0;
  return values.map((value, index) => (sum += value) / (index + 1));
}

/** Energy of one bit after two layers of averaging; its sign does not matter. */
function energyAfterTwo(bit: number): number {
  const values = [...base].map((token) => bitOf(token, bit));
  return runningMean(runningMean(values)).reduce((sum, value) => sum + value ** 2, 0);
}

/**
 * A llama of two layers in which everything is linear and known. Keys are zero, so attention is the mean of what came before. There is no
 * feed-forward. One huge constant dimension makes the norms a factor. The residual stream is divided into
 *
 *     0 … 3    the bits of the token, as -1 and 1
 *     8 … 11   what layer 0 writes: its mean of the bits, the last two times 0.3
 *     16 … 19  what layer 1 writes: its mean of four dimensions from `read` on, times `gains`
 *
 * A latent of 2 makes layer 0 lose the last two bits entirely.
 */
function twoMeans({ read, gains }: { read: number; gains: readonly number[] }) {
  const layers = [
    { read: 0, write: 8, gains: [1, 1, 0.3, 0.3] },
    { read, write: 16, gains },
  ];
  return changedLlama((name, values, columns) => {
    if (name.endsWith("norm.weight")) {
      values.fill(1000 / Math.sqrt(32));
      values[31] = 0;
      return;
    }
    if (!/embed_tokens|[kvo]_proj|down_proj/.test(name)) return;
    values.fill(0);
    const layer = layers[name.includes("layers.0") ? 0 : 1];
    for (let j = 0; j < 4; j++) {
      if (name.includes("v_proj")) values[j * columns + layer.read + j] = 1;
      if (name.includes("o_proj")) values[(layer.write + j) * columns + j] = layer.gains[j];
    }
    if (!name.includes("embed_tokens")) return;
    for (let token = 0; token < 96; token++) {
      for (let j = 0; j < 4; j++) values[token * columns + j] = bitOf(token, j);
      values[token * columns + 31] = 1000;
    }
  });
}

function meanSquareDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0) / a.length;
}

async function layersAndGap(
  source: Awaited<ReturnType<typeof twoMeans>>,
  steps: Partial<OutputAwareSteps>,
) {
  const options = { method: "output-aware", kvLoraRank: 2, ropeDim: 2, steps } as const;
  const { files, latent, report } = await converted(source, options, calibration);
  const gap = largestDifference(await logitsOf(latent), await logitsOf(files));
  return { layers: report.layers, gap };
}

describe("outputRefit", () => {
  it("repairs in a later layer what an earlier one has lost, where that layer still sees it", async () => {
    // Layer 1 passes on just the two bits that layer 0 loses.
    const source = await twoMeans({ read: 0, gains: [0, 0, 1, 1] });
    const whole = await layersAndGap(source, {});
    const without = await layersAndGap(source, { outputRefit: false });
    expect(without.layers[1].outputError).toBeLessThan(1e-9);
    expect(without.gap).toBeGreaterThan(0.1);
    expect(whole.gap).toBeLessThan(0.02 * without.gap);
  });
});

describe("sequential", () => {
  it("spends nothing on what an earlier layer has lost", async () => {
    // Layer 1 makes the two weak bits the stronger ones (0.3 * 12 = 3.6), but they are no longer there.
    const source = await twoMeans({ read: 8, gains: [1, 1, 12, 12] });
    const errorOf = async (sequential: boolean) => {
      const { layers } = await layersAndGap(source, { sequential, outputRefit: false });
      return layers[1].outputError;
    };
    const [first, second] = [
      energyAfterTwo(0) + energyAfterTwo(1),
      energyAfterTwo(2) + energyAfterTwo(3),
    ];
    const lost = 3.6 ** 2 * second;
    expect(await errorOf(true)).toBeCloseTo(lost / (first + lost), 6);
    expect(await errorOf(false)).toBeCloseTo(1, 6);
  });
});

describe("skipPositions", () => {
  it("sees what turns at distances longer than the calibration's sequences", async () => {
    // Keys turn by 1 or, those that are twice as strong, by 0.01 per token. There is room for two pairs, so the stronger ones have
    // to be rotated in both heads; but within 32 tokens they hardly turn.
    const source = await changedLlama((name, values, columns) => {
      if (!/[qk]_proj/.test(name)) return;
      for (let row = 0; row < values.length / columns; row++) {
        const gain = [0.15, 0, 0.3, 0][row % 4];
        for (let i = row * columns; i < (row + 1) * columns; i++) values[i] *= gain;
      }
    });
    const long = tokens(200, 9);
    const sequences = Array.from({ length: 24 }, (_, seed) => tokens(32, seed + 1));
    const after = async (skipPositions: boolean) => {
      const options = { method: "output-aware", kvLoraRank: 28, ropeDim: 4 } as const;
      const { files, latent } = await converted(
        source,
        { ...options, steps: { skipPositions } },
        sequences,
      );
      const { frequencies } = latent.config.layers[0].attention;
      const gap = meanSquareDifference(await logitsOf(latent, long), await logitsOf(files, long));
      return { frequencies: [...frequencies], gap };
    };
    const [skipping, without] = [await after(true), await after(false)];
    expect(skipping.frequencies.map((frequency) => frequency.toFixed(3))).toEqual([
      "0.010",
      "0.010",
    ]);
    expect(without.frequencies[0]).toBe(1);
    expect(skipping.gap).toBeLessThan(0.5 * without.gap);
  });
});

describe("scoreRefit", () => {
  it("brings even the attention of random weights nearer", async () => {
    const source = await changedLlama((name, values) => {
      if (/[qk]_proj/.test(name)) for (const i of values.keys()) values[i] *= 4;
    });
    const sequences = Array.from({ length: 24 }, (_, seed) => tokens(32, seed + 1));
    const errorOf = async (scoreRefit: boolean) => {
      const steps = { scoreRefit, skipPositions: false };
      const options = { kvLoraRank: 12, ropeDim: 4, steps };
      const { report, latent } = await converted(
        source,
        { method: "output-aware", ...options },
        sequences,
      );
      expect(latent.config.layers[0].attention).toMatchObject({ keyUpHeads: scoreRefit ? 4 : 2 });
      return report.layers[0].outputError;
    };
    expect(await errorOf(true)).toBeLessThan(0.97 * (await errorOf(false)));
  });
});
