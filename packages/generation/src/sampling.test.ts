import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { filterLogits, Sampler } from "./sampling";
import {
  addBias,
  applyTemperature,
  keepMinP,
  keepTopK,
  keepTopP,
  largest,
  penaliseCounts,
  penaliseRepetition,
  pick,
  softmax,
} from "./sampling-filters";
import type { SamplingOptions } from "./sampling-options";
import { readJson } from "./testing/golden";

/** What tools/golden/sampling.py writes. */
interface SamplingGolden {
  readonly logits: readonly number[];
  readonly seen: readonly number[];
  readonly cases: readonly {
    readonly options: SamplingOptions;
    readonly probabilities: readonly number[];
  }[];
}

const golden = readJson("../../golden/sampling.json") as SamplingGolden;
const off = -Infinity;
/** Probabilities 0.5, 0.25, 0.125, 0.125. */
const halves = Float32Array.of(3, 2, 1, 1).map((power) => power * Math.LN2);

const kept = (logits: Float32Array) => [...logits].map((logit) => logit !== off);

describe("filters", () => {
  it.each(golden.cases.map((entry) => [JSON.stringify(entry.options), entry] as const))(
    "agree with transformers for %s",
    (_, { options, probabilities }) => {
      const logits = Float32Array.from(golden.logits);
      const left = softmax(filterLogits(logits, options, { seen: golden.seen }));
      for (const [index, expected] of probabilities.entries()) {
        expect(left[index]).toBeCloseTo(expected, 6);
      }
    },
  );

  it("penalise what was seen, once, in the direction of less probable", () => {
    const penalised = penaliseRepetition(Float32Array.of(2, -2, 4), [0, 0, 1, 9], 2);
    expect([...penalised]).toEqual([1, -4, 4]);
  });

  it("penalise what was generated, once and as often as it was", () => {
    const counts = new Map([
      [0, 1],
      [2, 3],
    ]);
    expect([...penaliseCounts(Float32Array.of(1, 2, 3), counts, 0.5, 0.25)]).toEqual([
      0.25, 2, 1.75,
    ]);
  });

  it("add a bias, and ban with minus infinity", () => {
    const biased = addBias(Float32Array.of(1, 2, 3), { 0: 2.5, 2: off, 9: 1 });
    expect([...biased]).toEqual([3.5, 2, off]);
  });

  it("divide by the temperature below the largest logit", () => {
    expect([...applyTemperature(Float32Array.of(1, 3, 2), 0.5)]).toEqual([-4, 0, -2]);
    expect(softmax(applyTemperature(Float32Array.of(1, 3, 2), 1e-40))[1]).toBe(1);
  });

  it("keep the k largest, the lower index among equals", () => {
    expect([...keepTopK(Float32Array.of(1, 3, 1, 2, 1), 3)]).toEqual([1, 3, off, 2, off]);
    expect([...keepTopK(Float32Array.of(1, 3), 5)]).toEqual([1, 3]);
  });

  it("keep the same as sorting everything would", () => {
    const values = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 60 }), (list, k) => {
        const ranked = [...list.keys()].toSorted((a, b) => list[b]! - list[a]! || a - b);
        const best = new Set(ranked.slice(0, k));
        const left = keepTopK(Float32Array.from(list), k);
        expect(kept(left)).toEqual(list.map((_, index) => best.has(index)));
      }),
    );
  });

  it("keep the fewest that reach p", () => {
    expect(kept(keepTopP(halves, 0))).toEqual([true, false, false, false]);
    expect(kept(keepTopP(halves, 0.49))).toEqual([true, false, false, false]);
    expect(kept(keepTopP(halves, 0.51))).toEqual([true, true, false, false]);
    expect(kept(keepTopP(halves, 0.8))).toEqual([true, true, true, false]);
    expect(kept(keepTopP(halves, 0.9))).toEqual([true, true, true, true]);
  });

  it("keep what is at least a fraction of the best", () => {
    expect(kept(keepMinP(halves, 0.51))).toEqual([true, false, false, false]);
    expect(kept(keepMinP(halves, 0.49))).toEqual([true, true, false, false]);
    expect(kept(keepMinP(halves, 0.2))).toEqual([true, true, true, true]);
  });

  it("leave their argument alone and the best token in", () => {
    const logits = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 40 });
    const fraction = fc.double({ min: 0, max: 1, noNaN: true });
    const count = fc.integer({ min: 1, max: 50 });
    fc.assert(
      fc.property(logits, fraction, fraction, count, (values, topP, minP, topK) => {
        const before = Float32Array.from(values);
        const left = filterLogits(before, { temperature: 1, topP, minP, topK });
        expect(before).toEqual(Float32Array.from(values));
        expect(largest(left)).toBe(largest(before));
        expect(left.filter((logit) => logit !== off).length).toBeLessThanOrEqual(topK);
      }),
    );
  });
});

describe("softmax and pick", () => {
  it("know the probabilities of powers of two", () => {
    const probabilities = softmax(halves);
    for (const [index, p] of [0.5, 0.25, 0.125, 0.125].entries()) {
      expect(probabilities[index]).toBeCloseTo(p, 7);
    }
    expect(softmax(Float32Array.of(1e30, 1e30))[0]).toBe(0.5);
  });

  it("invert the running sum and never choose what is impossible", () => {
    const probabilities = Float64Array.of(0, 0.5, 0, 0.25, 0.25, 0);
    expect([0, 0.49, 0.5, 0.74, 0.75, 0.99].map((u) => pick(probabilities, u))).toEqual([
      1, 1, 3, 3, 4, 4,
    ]);
    expect(pick(Float64Array.of(0.3, 0.3, 0.3, 0), 0.95)).toBe(2);
  });

  it.each([[[NaN, 1]], [[off, off]], [[Infinity, 1]], [[]]])("refuse %j", (values) => {
    const error = expect.objectContaining({ code: "InvalidLogits" }) as Error;
    expect(() => softmax(Float32Array.from(values))).toThrow(error);
    expect(() => new Sampler({ temperature: 1 }).choose(Float32Array.from(values))).toThrow(error);
  });
});

describe("Sampler", () => {
  const logits = Float32Array.from(golden.logits);

  /** Pearson's chi-square of the choices against exact probabilities. */
  function chiSquare(
    options: SamplingOptions,
    draws: number,
  ): { statistic: number; cells: number } {
    const exact = softmax(filterLogits(logits, options));
    const counts = new Uint32Array(logits.length);
    const sampler = new Sampler(options);
    for (let draw = 0; draw < draws; draw++) counts[sampler.choose(logits)]!++;
    let statistic = 0;
    for (const [index, p] of exact.entries()) {
      if (p === 0) expect(counts[index]).toBe(0);
      else statistic += (counts[index]! - draws * p) ** 2 / (draws * p);
    }
    return { statistic, cells: exact.filter((p) => p > 0).length };
  }

  it.each<SamplingOptions>([
    { temperature: 1, topK: 8 },
    { temperature: 2, topP: 0.9 },
    { temperature: 1.4, minP: 0.02, topK: 20, topP: 0.98 },
  ])("chooses with the exact probabilities for %j", (options) => {
    const { statistic, cells } = chiSquare({ ...options, seed: 12 }, 20_000);
    expect(cells).toBeGreaterThan(4);
    // The 99.9 % point of the distribution, by Wilson and Hilferty's approximation.
    const freedom = cells - 1;
    const spread = 2 / (9 * freedom);
    expect(statistic).toBeLessThan(freedom * (1 - spread + 3.09 * Math.sqrt(spread)) ** 3);
  });

  function chosen(seed: number): number[] {
    const sampler = new Sampler({ temperature: 1, seed });
    return Array.from({ length: 20 }, () => sampler.choose(logits));
  }

  it("repeats itself with the same seed and not with another", () => {
    expect(chosen(5)).toEqual(chosen(5));
    expect(chosen(5)).not.toEqual(chosen(6));
  });

  it("takes the largest logit at temperature 0, the first among equals", () => {
    expect(new Sampler().choose(Float32Array.of(1, 5, 5))).toBe(1);
    expect(new Sampler().isArgmax).toBe(true);
    expect(new Sampler({ temperature: 0.5 }).isArgmax).toBe(false);
    expect(new Sampler({ repetitionPenalty: 1.1 }).isArgmax).toBe(false);
  });

  it("penalises the prompt and its own choices", () => {
    const sampler = new Sampler({ repetitionPenalty: 2 }, [0]);
    const choices = Array.from({ length: 3 }, () => sampler.choose(Float32Array.of(10, 9, 8)));
    expect(choices).toEqual([1, 2, 0]);
  });

  it("penalises its own choices, not the prompt, by presence and frequency", () => {
    const once = new Sampler({ presencePenalty: 1.5 }, [0, 0]);
    const steps = Float32Array.of(10, 9, 8);
    expect(Array.from({ length: 4 }, () => once.choose(steps))).toEqual([0, 1, 0, 0]);
    const often = new Sampler({ frequencyPenalty: 1.5 }, [0, 0]);
    expect(Array.from({ length: 5 }, () => often.choose(steps))).toEqual([0, 1, 0, 2, 1]);
    expect(often.isArgmax).toBe(false);
  });

  it("follows a bias, also when greedy", () => {
    const sampler = new Sampler({ logitBias: { 1: -Infinity, 2: 1 } });
    expect(sampler.choose(Float32Array.of(1, 5, 1))).toBe(2);
    expect(sampler.isArgmax).toBe(false);
    expect(new Sampler({ logitBias: {} }).isArgmax).toBe(true);
  });

  it.each<SamplingOptions>([
    { temperature: -1 },
    { temperature: NaN },
    { temperature: Infinity },
    { topK: 1.5 },
    { topK: -1 },
    { topP: 1.01 },
    { topP: NaN },
    { minP: -0.1 },
    { repetitionPenalty: 0 },
    { presencePenalty: Infinity },
    { frequencyPenalty: NaN },
    { logitBias: { 1: NaN } },
    { logitBias: { a: 1 } as Record<number, number> },
    { seed: -1 },
    { seed: 2 ** 53 },
    { temperature: "1" as unknown as number },
  ])("refuses %o", (options) => {
    expect(() => new Sampler(options)).toThrow(expect.objectContaining({ code: "InvalidOption" }));
  });
});
