import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { matrix, multiply, type Matrix } from "@transmla/low-rank";
import { referenceDevice } from "@transmla/kernels";
import { loadModel, openModel, parseConfig, type ModelFiles } from "@transmla/models";
import {
  bytesSource,
  memoryFolder,
  openSafetensors,
  parseStrictJson,
  type JsonObject,
  type ModelFolder,
} from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { convert } from "../convert";
import type { ConversionOptions } from "../options";
import { planConversion } from "../plan";
import { normal, randomMatrix } from "../testing";
import { neutralNorm } from "./neutral-norm";

const EPSILON = 1e-6;

/** `x sqrt(n / |x|^2)` times `gains`: what an RMS norm hands on. */
function normed(x: Float64Array, gains: Float64Array): Float64Array {
  const length = Math.hypot(...x);
  return x.map((value, i) => (gains[i] * value * Math.sqrt(x.length)) / length);
}

/** What the norm and the factors leave of every channel, the constant's last. */
function afterNorm(down: Matrix, gains: Float64Array, input: Float64Array): Float64Array {
  const norm = neutralNorm(down, gains, EPSILON);
  const z = multiply(norm.down, matrix(input.length + 1, 1, Float64Array.of(...input, 1))).data;
  const divisor = Math.sqrt(z.reduce((sum, value) => sum + value ** 2, 0) / z.length + EPSILON);
  return z.map((value, i) => {
    const factor = i + 1 < z.length ? norm.factor : norm.constantFactor;
    return ((value * norm.weight) / divisor) * factor;
  });
}

describe("neutralNorm", () => {
  const inputs = 12;
  const next = normal(4);
  const gains = Float64Array.from({ length: inputs }, () => 1 + next());
  const down = randomMatrix(5, inputs + 1, 2);

  it.each([1, 1e-6, 1e6])("gives back a latent of weights times %d, and 1", (size) => {
    const sized = matrix(
      5,
      inputs + 1,
      down.data.map((value) => size * value),
    );
    for (let seed = 1; seed < 20; seed++) {
      const x = normed(randomMatrix(inputs, 1, seed).data, gains);
      const expected = multiply(sized, matrix(inputs + 1, 1, Float64Array.of(...x, 1))).data;
      const actual = afterNorm(sized, gains, x);
      for (const [i, value] of expected.entries()) {
        expect(Math.abs(actual[i] / value - 1)).toBeLessThan(1.3e-4);
      }
      expect(Math.abs(actual[5] - 1)).toBeLessThan(1.3e-4);
    }
  });

  it("holds for the longest latent there can be", () => {
    // The input lies along the one row: `|c|` is the bound itself, and the error what it is said to be at most.
    const row = matrix(1, inputs + 1);
    for (let i = 0; i < inputs; i++) row.data[i] = 1 / gains[i];
    const [latent] = afterNorm(row, gains, normed(new Float64Array(inputs).fill(1), gains));
    expect(1 - latent / inputs).toBeGreaterThan(2e-5);
    expect(1 - latent / inputs).toBeLessThan(1.3e-4);
  });

  it("has weights that every storage holds exactly", () => {
    const { weight, down: extended } = neutralNorm(down, gains, EPSILON);
    expect(Number.isInteger(Math.log2(weight))).toBe(true);
    const constant = extended.data.subarray(5 * (inputs + 1));
    expect([...constant]).toEqual([...Array.from({ length: inputs }, () => 0), 2048]);
  });

  it("takes a latent that is always zero", () => {
    expect([...afterNorm(matrix(2, inputs + 1), gains, gains)].slice(0, 2)).toEqual([0, 0]);
  });
});

/** A folder's files in memory, so that nothing stays open. */
function inMemory(url: string): ModelFolder {
  const path = fileURLToPath(new URL(url, import.meta.url));
  const names = readdirSync(path).filter((name) => name !== "golden.safetensors");
  return memoryFolder(
    new Map(names.map((name) => [name, new Uint8Array(readFileSync(`${path}/${name}`))])),
  );
}

const golden = (family: string) => inMemory(`../../../models/golden/${family}`);
const written = (family: string) => inMemory(`../../golden/deepseek/${family}`);

/** Token ids without structure. */
function tokens(count: number, seed: number): Int32Array {
  let state = seed;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % 96;
  });
}

const sequences = (count: number) =>
  Array.from({ length: count }, (_, index) => tokens(32, index + 1));

async function converted(family: string, options: ConversionOptions, calibration = sequences(4)) {
  const plan = planConversion(await openModel(golden(family)), options);
  const output = memoryFolder(new Map());
  const report = await convert(plan, { device: referenceDevice(), calibration, output });
  return { plan, report, files: await openModel(output) };
}

async function logitsOf(files: ModelFiles, ids = tokens(70, 9)): Promise<Float32Array> {
  const device = referenceDevice();
  const model = await loadModel(files, device);
  const cache = model.createCache({ capacity: ids.length });
  return device.read(model.forward(cache, [{ sequence: cache.open(), tokens: ids }], "all"));
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i])), 0);
}

describe("deepseek format", () => {
  it.each([
    ["llama", {}],
    ["llama-tied", {}],
    ["llama-llama3-rope", {}],
    ["llama-linear-rope", {}],
    ["qwen2", {}],
    ["mistral", { qLoraRank: 12 }],
  ])("%s: the logits of the native format", async (family, more) => {
    const options = { method: "transmla", freqFold: 4, ropeDim: 4, dtype: "f32", ...more } as const;
    const native = await converted(family, { ...options, kvLoraRank: 11 });
    const stock = await converted(family, { ...options, kvLoraRank: 12, format: "deepseek" });
    expect(stock.files.config.family).toBe("deepseek_v3");
    expect(stock.report).toMatchObject({ kvLoraRank: 12, cacheAfter: 2 * (12 + 4) });
    const expected = await logitsOf(native.files);
    expect(largestDifference(await logitsOf(stock.files), expected)).toBeLessThan(1e-3);
  });

  it.each(["llama", "qwen2", "llama-llama3-rope"])(
    "%s: output-aware on the ladder of the highest frequencies",
    async (family) => {
      const { files, report } = await converted(family, {
        method: "output-aware",
        format: "deepseek",
        keep: 0.9,
        dtype: "f32",
      });
      const original = await openModel(golden(family));
      const [{ attention }] = files.config.layers;
      const highest = original.config.layers[0].attention.frequencies;
      for (const [pair, frequency] of attention.frequencies.entries()) {
        expect(frequency / highest[pair]).toBeCloseTo(1, 12);
      }
      for (const { outputError } of report.layers) expect(outputError).toBeLessThan(0.3);
    },
  );

  describe("bias-free", () => {
    it.each([
      ["llama", "output-aware", {}],
      ["llama-tied", "transmla", {}],
      ["llama-llama3-rope", "output-aware", {}],
      ["mistral", "transmla", { qLoraRank: 24 }],
    ] as const)(
      "%s with %s: nearly the logits of the format with biases",
      async (family, method, more) => {
        const fold = method === "transmla" ? ({ freqFold: 4 } as const) : {};
        const sizes = {
          method,
          ropeDim: 4,
          kvLoraRank: 24,
          dtype: "f32",
          ...fold,
          ...more,
        } as const;
        const biased = await converted(family, { ...sizes, format: "deepseek" }, sequences(64));
        const free = await converted(
          family,
          { ...sizes, format: "deepseek-bias-free" },
          sequences(64),
        );
        expect(free.files.configJson.get("attention_bias")).toBe(false);
        expect(
          [...free.files.checkpoint.tensors.keys()].filter((name) => name.endsWith("bias")),
        ).toEqual([]);
        expect(free.report.cacheAfter).toBe(biased.report.cacheAfter);
        const expected = await logitsOf(biased.files);
        const actual = await logitsOf(free.files);
        const difference = actual.map((value, i) => value - expected[i]);
        expect(Math.hypot(...difference) / Math.hypot(...expected)).toBeLessThan(0.15);
      },
    );

    it.each(["qwen2", "mimo"])(
      "refuses the biases of %s and names the alternative",
      async (family) => {
        const files = await openModel(golden(family));
        const options = { method: "transmla", format: "deepseek-bias-free", keep: 0.5 } as const;
        expect(() => planConversion(files, options)).toThrow(
          expect.objectContaining({
            code: "UnsupportedFormat",
            message: expect.stringMatching(/biases of queries and keys.*the deepseek format/),
          }),
        );
      },
    );
  });

  // Made by tools/golden/converted-folders.mjs: a folder we wrote, and what stock Hugging Face transformers computes with it.
  describe("against stock DeepseekV3ForCausalLM", () => {
    const stockLogits = async (family: string) => {
      const path = `../../golden/deepseek/${family}/golden.safetensors`;
      const bytes = new Uint8Array(readFileSync(fileURLToPath(new URL(path, import.meta.url))));
      const values = await openSafetensors(bytesSource(bytes));
      return {
        ids: Int32Array.from(await values.read("input_ids", { as: "f32" })),
        logits: await values.read("logits", { as: "f32" }),
      };
    };

    it.each(["qwen2", "llama-llama3-rope"])("%s: its logits are ours", async (family) => {
      const { ids, logits } = await stockLogits(family);
      const ours = await logitsOf(await openModel(written(family)), ids);
      const largest = logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      expect(largestDifference(ours, logits) / largest).toBeLessThan(1e-5);
    });

    it("qwen2, converted again: its logits still", async () => {
      const options = { method: "transmla", freqFold: 4, kvLoraRank: 12, ropeDim: 4 } as const;
      const { files } = await converted("qwen2", { ...options, format: "deepseek", dtype: "f32" });
      const { ids, logits } = await stockLogits("qwen2");
      const largest = logits.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      expect(largestDifference(await logitsOf(files, ids), logits) / largest).toBeLessThan(1e-3);
    });

    it.each([
      ["qwen2", "transmla"],
      ["llama-llama3-rope", "output-aware"],
    ] as const)("%s: the config it was read with", async (family, method) => {
      const { files } = await converted(family, {
        method,
        format: "deepseek",
        kvLoraRank: 12,
        ropeDim: 4,
        dtype: "f32",
      });
      expect(files.configJson).toEqual((await openModel(written(family))).configJson);
    });
  });

  it.each([
    ["mixtral", "transmla", "experts"],
    ["mistral-window", "transmla", "sliding window of 16"],
    ["gemma2", "transmla", "norms behind attention and feed-forward"],
    ["llama-bias", "transmla", "biases of the feed-forward"],
    ["smollm3", "output-aware", "no ladder of one rope_theta"],
    ["llama", "exact", "same frequencies"],
  ] as const)("refuses %s with method %s: %s", async (family, method, named) => {
    const files = await openModel(golden(family));
    const options = {
      method,
      format: "deepseek",
      keep: method === "exact" ? undefined : 0.5,
    } as const;
    expect(() => planConversion(files, options)).toThrow(
      expect.objectContaining({
        code: "UnsupportedFormat",
        message: expect.stringContaining(named),
      }),
    );
  });

  it("refuses YaRN where the stock class would scale the softmax and the original does not", async () => {
    const files = await openModel(golden("llama"));
    const yarn = {
      rope_type: "yarn",
      factor: 2,
      mscale: 1,
      mscale_all_dim: 1,
      original_max_position_embeddings: 64,
    };
    const scaling = parseStrictJson(JSON.stringify(yarn)) as JsonObject;
    const configJson = new Map(files.configJson).set("rope_scaling", scaling);
    const changed = { ...files, configJson, config: parseConfig(configJson) };
    const plan = (format: "native" | "deepseek") => () =>
      planConversion(changed, { method: "output-aware", format, keep: 0.5 });
    expect(plan("native")).not.toThrow();
    expect(plan("deepseek")).toThrow(expect.objectContaining({ code: "UnsupportedFormat" }));
  });

  it("refuses sizes that leave no latent or no ladder", async () => {
    const files = await openModel(golden("llama"));
    const plan = (kvLoraRank: number, ropeDim: number) => () =>
      planConversion(files, { method: "output-aware", format: "deepseek", kvLoraRank, ropeDim });
    const refusal = expect.objectContaining({ code: "InvalidOption" });
    expect(plan(1, 4)).toThrow(refusal);
    expect(plan(2, 4)).not.toThrow();
    expect(plan(8, 10)).toThrow(refusal);
  });
});
