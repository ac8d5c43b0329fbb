import {
  cacheNumbersPerToken,
  openModel,
  type GroupedAttentionConfig,
  type ModelFiles,
} from "@transmla/models";
import { describe, expect, it } from "vitest";
import { planConversion } from "../../plan";
import { changedLlama, changedModel, converted, golden, tokens } from "../../testing-models";
import { ladderComponents, ladderFrequencies, ladderStepsOf, reaches } from "./ladder";

const half = { method: "output-aware", keep: 0.5 } as const;

describe("the rotated part", () => {
  it("little where keys say nothing and values need every dimension", async () => {
    const source = await changedLlama((name, values) => {
      if (/k_proj/.test(name)) values.fill(0);
    });
    const { report, latent, plan } = await converted(source, half);
    expect(plan.sizes.ropeDimCandidates).toEqual([2, 4, 6, 8]);
    expect(report).toMatchObject({ ropeDim: 2, kvLoraRank: 14, keptFraction: 0.5 });
    for (const { attention } of latent.config.layers)
      expect(attention).toMatchObject({ ropeDim: 2 });
  });

  it("much where keys decide and values need one dimension", async () => {
    const source = await changedLlama((name, values, columns) => {
      if (/[qk]_proj/.test(name)) for (const i of values.keys()) values[i] *= 4;
      if (!/v_proj/.test(name)) return;
      for (let row = 1; row < 16; row++) values.copyWithin(row * columns, 0, columns);
    });
    const sequences = Array.from({ length: 24 }, (_, seed) => tokens(32, seed + 1));
    const { report } = await converted(source, half, sequences);
    expect(report.ropeDim).toBeGreaterThanOrEqual(6);
  });

  it("not where the caller has, or half of it without that step", async () => {
    const files = await openModel(golden("llama"));
    const given = planConversion(files, { ...half, ropeDim: 4 });
    expect(given.sizes).toMatchObject({ ropeDim: 4, kvLoraRank: 12 });
    expect(given.sizes.ropeDimCandidates).toBeUndefined();
    const { report } = await converted(golden("llama"), {
      ...half,
      steps: { splitByLoss: false },
    });
    expect(report).toMatchObject({ ropeDim: 8, kvLoraRank: 8 });
  });
});

describe("the ladder of the stock layout", () => {
  // Frequencies 1, 1/2, 1/4, 1/8, and everything that attention sees at the third: a ladder of two reaches it in steps of two.
  const source = () =>
    changedModel("llama", {
      config: { rope_theta: 16 },
      change: (name, values, columns) => {
        if (!/[qk]_proj/.test(name)) return;
        for (let row = 0; row * columns < values.length; row++) {
          const factor = row % 4 === 2 ? 1.5 : 0;
          for (let i = row * columns; i < (row + 1) * columns; i++) values[i] *= factor;
        }
        // Both heads' keys alike: one component has all of them.
        if (/k_proj/.test(name)) values.copyWithin(8 * columns, 0, 8 * columns);
      },
    });
  const stock = { method: "output-aware", format: "deepseek", kvLoraRank: 17, ropeDim: 4 } as const;
  const sequences = Array.from({ length: 24 }, (_, seed) => tokens(32, seed + 1));
  const convertedWith = async (steps: { splitByLoss?: boolean }) => {
    const { report, latent } = await converted(await source(), { ...stock, steps }, sequences);
    const [{ attention }] = latent.config.layers;
    const errors = report.layers.map(({ outputError }) => outputError);
    const { ladderStep } = report;
    return { ladderStep, frequencies: [...attention.frequencies], error: Math.max(...errors) };
  };

  it("goes as far down as held-out text wants", async () => {
    const chosen = await convertedWith({});
    const highest = await convertedWith({ splitByLoss: false });
    expect(chosen).toMatchObject({ ladderStep: 2, frequencies: [1, 1 / 4] });
    expect(highest.frequencies).toEqual([1, 1 / 2]);
    expect(chosen.error).toBeLessThan(1e-9);
    expect(highest.error).toBeGreaterThan(0.3);
  });
});

describe("ladders", () => {
  const frequencies = Float64Array.from({ length: 8 }, (_, i) => 2 ** -i);
  const original = { headDim: 16, frequencies } as GroupedAttentionConfig;

  it("rotate the nearest component at a frequency of their one base", () => {
    expect(ladderComponents(4, 1.5).map(({ frequency }) => frequency)).toEqual([0, 2, 3, 5]);
    expect([...ladderFrequencies(original, 4, 1.5)]).toEqual([1, 2 ** -1.5, 2 ** -3, 2 ** -4.5]);
    expect([...ladderFrequencies(original, 3, 3)]).toEqual([1, 2 ** -3, 2 ** -6]);
  });

  it("end within the original's frequencies", () => {
    expect([1, 1.25, 1.5, 2].map((step) => reaches(original, 6, step))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it("take whole steps where frequencies are scaled one by one", () => {
    const scaled = frequencies.map((f, i) => (i > 4 ? f / 8 : f));
    expect(ladderStepsOf({ ...original, frequencies: scaled })).toEqual([1, 2, 3]);
    expect(ladderStepsOf(original)).toEqual([1, 1.25, 1.5, 2, 3]);
  });
});

describe("sizes of layers", () => {
  it("give every layer the cache it needs, and no more in all", async () => {
    // Nothing is asked of keys, and the values of the last layer are all the same.
    const source = await changedLlama((name, values, columns) => {
      if (/k_proj/.test(name)) values.fill(0);
      if (!/layers\.1\..*v_proj/.test(name)) return;
      for (let row = 1; row < 16; row++) values.copyWithin(row * columns, 0, columns);
    });
    const numbersOf = async (sizesByLoss: boolean) => {
      const { report, latent } = await converted(source, { ...half, steps: { sizesByLoss } });
      expect(report.keptFraction).toBe(0.5);
      const numbers = report.layers.map(({ kvLoraRank, ropeDim }) => kvLoraRank + ropeDim);
      expect(cachedNumbers(latent)).toEqual(numbers);
      return numbers;
    };
    expect(await numbersOf(false)).toEqual([16, 16]);
    // Three fifths of the mean are the least that is tried.
    expect(await numbersOf(true)).toEqual([22, 10]);
  });

  it("are not chosen where the layout or the caller says one for all", async () => {
    const files = await openModel(golden("llama"));
    const settled = (options: object) =>
      planConversion(files, { method: "output-aware", ...options }).sizes.layersDiffer ?? false;
    expect(settled({ keep: 0.5 })).toBe(true);
    expect(settled({ keep: 0.5, ropeDim: 4 })).toBe(false);
    expect(settled({ keep: 0.5, format: "deepseek" })).toBe(false);
  });

  it("within the original's cache, and with keys left for the latent, where nearly all of it is kept", async () => {
    const { report } = await converted(golden("llama"), { ...half, keep: 0.97 });
    expect(report.cacheAfter).toBe(2 * 31);
    for (const { kvLoraRank, ropeDim } of report.layers) {
      expect(kvLoraRank + ropeDim).toBeLessThanOrEqual(32);
      expect(ropeDim).toBeLessThanOrEqual(14);
    }
  });
});

/** Numbers cached per token by every layer. */
function cachedNumbers({ config }: ModelFiles): number[] {
  return config.layers.map(({ attention }) => cacheNumbersPerToken(attention));
}
