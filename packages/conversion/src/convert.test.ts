import { referenceDevice } from "@transmla/kernels";
import { openModel } from "@transmla/models";
import { memoryFolder } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { convert } from "./convert";
import { planConversion } from "./plan";
import {
  calibration,
  changedLlama,
  codeOf,
  converted,
  golden,
  largestDifference,
  logitsOf,
  tokens,
} from "./testing-models";

describe("exact method", () => {
  it.each([
    "llama",
    "llama-sharded",
    "llama-llama3-rope",
    "llama-tied",
    "llama-bias",
    "qwen2",
    "mistral-window",
    "mixtral",
    "smollm3",
    "smollm3-listed",
    "mimo",
    "gemma2",
    "qwen3",
    "qwen3-window",
  ])("keeps logits and cache size of %s", async (family) => {
    const { files, latent, report } = await converted(golden(family), { method: "exact" });
    expect(latent.config.layers.every(({ attention }) => attention.kind === "mla")).toBe(true);
    expect(report.cacheAfter).toBe(report.cacheBefore);
    expect(largestDifference(await logitsOf(latent), await logitsOf(files))).toBeLessThan(2e-5);
  });

  it("has nothing to choose", async () => {
    const files = await openModel(golden("llama"));
    expect(await codeOf(() => planConversion(files, { method: "exact", keep: 0.5 }))).toBe(
      "InvalidOption",
    );
  });
});

describe("transmla method", () => {
  it("loses nothing where one component per frequency and the latent hold everything", async () => {
    // The second head's keys are twice the first's, and both heads have the same values: at every frequency one component
    // has all the energy, and the values have rank 8. So 8 rotated numbers and a latent of 8 replace a cache of 32.
    const source = await changedLlama((name, values, columns) => {
      const factor = name.includes("k_proj") ? 2 : 1;
      if (!/[kv]_proj/.test(name)) return;
      const half = 8 * columns;
      for (let i = 0; i < half; i++) values[half + i] = factor * values[i];
    });
    const options = { method: "transmla", kvLoraRank: 8, ropeDim: 8, freqFold: 1 } as const;
    const { files, latent, report } = await converted(source, options);
    expect(report.keptFraction).toBe(0.5);
    expect(report.layers.every(({ outputError }) => outputError < 1e-9)).toBe(true);
    expect(largestDifference(await logitsOf(latent), await logitsOf(files))).toBeLessThan(1e-4);
  });

  it.each(["llama-bias", "qwen2", "mistral-window", "mixtral", "gemma2", "qwen3"])(
    "converts %s with a fold chosen on held-out text, the same way every time",
    async (family) => {
      const options = { method: "transmla", keep: 0.5 } as const;
      const first = await converted(golden(family), options);
      const second = await converted(golden(family), options);
      expect(first.report.cacheAfter).toBe(first.report.cacheBefore / 2);
      expect([1, 2, 4, 8]).toContain(first.report.freqFold);
      for (const { outputError } of first.report.layers) {
        expect(outputError).toBeGreaterThan(0);
        expect(outputError).toBeLessThan(1.5);
      }
      expect([...second.contents]).toEqual([...first.contents]);
    },
  );

  it("keeps more with a larger latent", async () => {
    const errors: number[] = [];
    for (const kvLoraRank of [4, 12, 24]) {
      const options = { method: "transmla", kvLoraRank, ropeDim: 8, freqFold: 1 } as const;
      const { report } = await converted(golden("llama"), options);
      expect(report.layers[0].keptEnergy).toBeLessThanOrEqual(1 + 1e-12);
      errors.push(report.layers[0].outputError);
    }
    expect(errors[0]).toBeGreaterThan(errors[1]);
    expect(errors[1]).toBeGreaterThan(errors[2]);
  });

  it("compresses queries to a rank that holds them without loss", async () => {
    const dense = await converted(golden("llama"), { method: "transmla", keep: 0.75, freqFold: 1 });
    const full = await converted(golden("llama"), {
      method: "transmla",
      keep: 0.75,
      freqFold: 1,
      qLoraRank: 32,
    });
    const difference = largestDifference(await logitsOf(dense.latent), await logitsOf(full.latent));
    expect(difference).toBeLessThan(1e-3);
  });

  it.each([
    [{ keep: 1.2 }],
    [{ keep: 0 }],
    [{ keep: Number.NaN }],
    [{}],
    [{ kvLoraRank: 8 }],
    [{ keep: 0.5, kvLoraRank: 8 }],
    [{ kvLoraRank: 25, ropeDim: 8 }],
    [{ kvLoraRank: 2.5, ropeDim: 8 }],
    [{ kvLoraRank: 8, ropeDim: 3 }],
    [{ kvLoraRank: 8, ropeDim: 16 }],
    [{ keep: 0.5, freqFold: 3 }],
    [{ keep: 0.5, qLoraRank: 0 }],
    [{ keep: 0.01 }],
  ])("refuses %j before reading a weight", async (sizes) => {
    const files = await openModel(golden("llama"));
    await files.close();
    expect(await codeOf(() => planConversion(files, { method: "transmla", ...sizes }))).toBe(
      "InvalidOption",
    );
    expect(await codeOf(() => planConversion(files, { method: "transmla", keep: 0.5 }))).toBe(
      "none",
    );
  });
});

describe("output-aware method", () => {
  it.each([
    "llama",
    "llama-bias",
    "qwen2",
    "mistral-window",
    "mixtral",
    "smollm3-listed",
    "gemma2",
    "qwen3-window",
  ])(
    "converts %s at nearly the whole cache with little loss, the same way every time",
    async (family) => {
      // Half of it rotated, since every candidate would cost as much as the conversion.
      const options = {
        method: "output-aware",
        keep: 0.9,
        steps: { splitByLoss: false },
      } as const;
      const first = await converted(golden(family), options);
      const second = await converted(golden(family), options);
      for (const { outputError } of first.report.layers) expect(outputError).toBeLessThan(0.2);
      expect([...second.contents]).toEqual([...first.contents]);
      // Random weights are the hardest case: nothing about them is of low rank.
      const compressed = await converted(golden(family), { method: "transmla", keep: 0.9 });
      const total = (layers: readonly { outputError: number }[]) =>
        layers.reduce((sum, { outputError }) => sum + outputError, 0);
      expect(total(first.report.layers)).toBeLessThan(total(compressed.report.layers));
    },
  );

  it("loses almost nothing where a complex rotation makes keys low-rank", async () => {
    // The second head's keys are the first's turned by 0.7 at every frequency, and both heads have the same values.
    const source = await changedLlama((name, values, columns) => {
      if (/v_proj/.test(name)) values.copyWithin(8 * columns, 0, 8 * columns);
      if (!/k_proj/.test(name)) return;
      for (let f = 0; f < 4; f++) {
        for (let x = 0; x < columns; x++) {
          const [re, im] = [values[f * columns + x], values[(f + 4) * columns + x]];
          values[(8 + f) * columns + x] = Math.cos(0.7) * re - Math.sin(0.7) * im;
          values[(12 + f) * columns + x] = Math.sin(0.7) * re + Math.cos(0.7) * im;
        }
      }
    });
    const { files, latent, report } = await converted(source, {
      method: "output-aware",
      kvLoraRank: 8,
      ropeDim: 8,
    });
    expect(report.keptFraction).toBe(0.5);
    expect(report.layers.every(({ outputError }) => outputError < 1e-9)).toBe(true);
    expect(largestDifference(await logitsOf(latent), await logitsOf(files))).toBeLessThan(1e-3);
  });

  it.each([
    [{ keep: 0.5, freqFold: 2 }],
    [{ keep: 0.5, qLoraRank: 8 }],
    [{ kvLoraRank: 8, ropeDim: 7 }],
  ])("refuses %j", async (sizes) => {
    const files = await openModel(golden("llama"));
    const attempt = () => planConversion(files, { method: "output-aware", ...sizes });
    expect(await codeOf(attempt)).toBe("InvalidOption");
  });
});

describe("convert", () => {
  const options = { method: "transmla", keep: 0.5, freqFold: 1 } as const;

  it("writes shards of the size asked for, which load alike", async () => {
    const one = await converted(golden("llama"), options);
    const many = await converted(golden("llama"), { ...options, maxShardBytes: 20_000 });
    expect([...one.contents.keys()]).toEqual(["model.safetensors", "config.json"]);
    expect(many.contents.has("model.safetensors.index.json")).toBe(true);
    expect(many.contents.size).toBeGreaterThan(4);
    expect(await logitsOf(many.latent)).toEqual(await logitsOf(one.latent));
  });

  it("stores in the type asked for", async () => {
    const { latent, plan } = await converted(golden("llama"), { ...options, dtype: "bf16" });
    const dtypes = new Set([...latent.checkpoint.tensors.values()].map(({ dtype }) => dtype));
    expect([...dtypes]).toEqual(["BF16"]);
    expect(plan.shards.totalBytes).toBeGreaterThan(0);
  });

  it("puts extra files beside the weights", async () => {
    const files = await openModel(golden("llama"));
    const contents = new Map<string, Uint8Array>();
    const extraFiles = new Map([["tokenizer.json", Uint8Array.of(1, 2)]]);
    await convert(planConversion(files, { method: "exact" }), {
      device: referenceDevice(),
      output: memoryFolder(contents),
      extraFiles,
    });
    expect(contents.get("tokenizer.json")).toEqual(Uint8Array.of(1, 2));
    // The config is the commit mark.
    expect([...contents.keys()].at(-1)).toBe("config.json");
  });

  it("refuses a folder that holds a model, and text that is too short", async () => {
    const plan = planConversion(await openModel(golden("llama")), options);
    const device = referenceDevice();
    const taken = memoryFolder(new Map([["config.json", new Uint8Array()]]));
    expect(await codeOf(() => convert(plan, { device, calibration, output: taken }))).toBe(
      "OutputExists",
    );
    const output = memoryFolder();
    expect(await codeOf(() => convert(plan, { device, output }))).toBe("CalibrationTooShort");
    expect(await output.list()).toEqual([]);
  });

  it("refuses a model that is latent already", async () => {
    const { latent } = await converted(golden("llama"), { method: "exact" });
    expect(await codeOf(() => planConversion(latent, options))).toBe("AlreadyLatent");
  });

  it("warns of fewer calibration tokens than dimensions", async () => {
    const plan = planConversion(await openModel(golden("llama")), options);
    const run = (sequences: Int32Array[]) =>
      convert(plan, { device: referenceDevice(), calibration: sequences, output: memoryFolder() });
    const few = await run([tokens(16, 1), tokens(16, 2)]);
    expect(few.warnings).toHaveLength(1);
    expect(few.warnings[0]).toMatch(
      /32 calibration tokens cannot measure 33 dimensions \(condition number/,
    );
    expect((await run(calibration)).warnings).toEqual([]);
  });

  it("names a copied weight that is not finite", async () => {
    const source = await changedLlama((name, values) => {
      if (name === "model.layers.0.mlp.up_proj.weight") values[35] = Number.NaN;
    });
    const plan = planConversion(await openModel(source), { method: "exact" });
    const attempt = convert(plan, { device: referenceDevice(), output: memoryFolder() });
    await expect(attempt).rejects.toThrow(/up_proj\.weight .* holds NaN at index 35/);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "names a weight that is %s and leaves nothing behind",
    async (bad) => {
      const source = await changedLlama((name, values) => {
        if (name === "model.layers.1.self_attn.v_proj.weight") values[17] = bad;
      });
      const plan = planConversion(await openModel(source), { method: "exact" });
      const output = memoryFolder();
      const attempt = convert(plan, { device: referenceDevice(), output });
      await expect(attempt).rejects.toThrow(/layers\.1\.self_attn\.v_proj\.weight .* index 17/);
      expect(await output.list()).toEqual([]);
    },
  );

  it("stops when asked and leaves nothing behind", async () => {
    const plan = planConversion(await openModel(golden("llama")), options);
    const output = memoryFolder();
    const controller = new AbortController();
    const attempt = convert(plan, {
      device: referenceDevice(),
      calibration,
      output,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(attempt).rejects.toThrow(/abort/i);
    expect(await output.list()).toEqual([]);
  });
});
