import { openModel } from "@transmla/models";
import { describe, expect, it } from "vitest";
import { planConversion } from "../plan";
import {
  changedModel,
  codeOf,
  converted,
  golden,
  largestDifference,
  logitsOf,
} from "../testing-models";

describe("norms of query and key heads", () => {
  // The second head's keys are twice the first's, which a norm makes equal, and both heads have the same values: half of the
  // numbers say everything.
  const halved = () =>
    changedModel("qwen3", {
      // The epsilon of the golden model is as large as a key, and some of its frequencies hardly turn.
      config: { rms_norm_eps: 1e-12, rope_theta: 100 },
      change(name, values, columns) {
        if (!/[kv]_proj/.test(name)) return;
        const factor = name.includes("k_proj") ? 2 : 1;
        const half = 16 * columns;
        for (let i = 0; i < half; i++) values[half + i] = factor * values[i];
      },
    });

  it.each([
    { method: "transmla", kvLoraRank: 16, ropeDim: 16, freqFold: 1 },
    { method: "output-aware", kvLoraRank: 16, ropeDim: 16 },
  ] as const)("are kept, and what follows them is compressed: %j", async (options) => {
    const { files, latent, report } = await converted(await halved(), options);
    expect(report.keptFraction).toBe(0.5);
    expect(report.layers.every(({ outputError }) => outputError < 1e-9)).toBe(true);
    expect(largestDifference(await logitsOf(latent), await logitsOf(files))).toBeLessThan(1e-4);
  });

  it.each([
    { method: "exact" },
    { method: "output-aware", kvLoraRank: 34, ropeDim: 30, steps: { scoreRefit: false } },
  ] as const)("carry biases before them and of the values: %j", async (options) => {
    const more = [0, 1].flatMap((layer) =>
      Object.entries({ q: 64, k: 32, v: 32, o: 32 }).map(([name, size]) => {
        const data = Float32Array.from({ length: size }, (_, i) => Math.sin(i + layer) / 2);
        const bias = `model.layers.${layer}.self_attn.${name}_proj.bias`;
        return [bias, { shape: [size], data }] as const;
      }),
    );
    const biased = await changedModel("qwen3", { config: { attention_bias: true }, more });
    const { files, latent } = await converted(biased, options);
    const plain = await logitsOf(await openModel(golden("qwen3")));
    const expected = await logitsOf(files);
    expect(largestDifference(plain, expected)).toBeGreaterThan(0.1);
    const difference = largestDifference(await logitsOf(latent), expected);
    expect(difference).toBeLessThan(options.method === "exact" ? 2e-5 : 0.1);
  });

  it("leave no low-rank queries, and nothing to the deepseek format", async () => {
    const files = await openModel(golden("qwen3"));
    const plan = (options: object) => () =>
      planConversion(files, { method: "transmla", keep: 0.5, ...options });
    expect(await codeOf(plan({ qLoraRank: 8 }))).toBe("InvalidOption");
    expect(plan({ format: "deepseek" })).toThrow(/norms of query and key heads/);
    expect(await codeOf(plan({}))).toBe("none");
  });
});
