import { openModel } from "@transmla/models";
import { describe, expect, it } from "vitest";
import { planConversion } from "../../packages/conversion/src/index.ts";
import {
  changedLlama,
  changedModel,
  codeOf,
  converted,
  golden,
  logitsOf,
} from "../../packages/conversion/src/testing-models.ts";
import { counted } from "./counts.ts";

const methods = ["exact", "transmla", "output-aware"] as const;
type Method = (typeof methods)[number];

const optionsOf = (method: Method) => (method === "exact" ? { method } : { method, keep: 0.5 });
const finite = (values: Float32Array) => values.every(Number.isFinite);

/** Checkpoints whose numbers are at an edge, all of which can be converted. */
const edges: Readonly<Record<string, (name: string, values: Float32Array) => void>> = {
  "keys and values that are zero": (name, values) => {
    if (/[kv]_proj/.test(name)) values.fill(0);
  },
  "attention that is zero": (name, values) => {
    if (/[qkvo]_proj/.test(name)) values.fill(0);
  },
  "weights of a millionth of a millionth": (name, values) => {
    if (/[qkvo]_proj/.test(name)) values.forEach((value, i) => (values[i] = value * 1e-12));
  },
  "queries and keys a thousand times as large": (name, values) => {
    if (/[qk]_proj/.test(name)) values.forEach((value, i) => (values[i] = value * 1e3));
  },
  "values a million times as large": (name, values) => {
    if (/v_proj/.test(name)) values.forEach((value, i) => (values[i] = value * 1e6));
  },
  "an embedding in which all tokens are alike": (name, values) => {
    if (name.includes("embed")) values.forEach((_, i) => (values[i] = values[i % 16]!));
  },
};

describe.each(methods)("method %s", (method) => {
  it.for(Object.keys(edges))("converts %s to a finite model", async (edge, { task }) => {
    const source = await changedLlama(edges[edge]!);
    const { latent } = await converted(source, optionsOf(method));
    expect(finite(await logitsOf(latent))).toBe(true);
    counted(task, { numbers: 1 });
  });

  it("converts with calibration that is one token, again and again", async ({ task }) => {
    const same = [7, 7].map((token) => new Int32Array(32).fill(token));
    const { latent } = await converted(golden("llama"), optionsOf(method), same);
    expect(finite(await logitsOf(latent))).toBe(true);
    counted(task, { numbers: 1 });
  });

  it("converts experts of which some are never asked", async ({ task }) => {
    const source = await changedModel("mixtral", {
      change: (name, values, columns) => {
        // The router sends every token to the first two.
        if (!name.endsWith("gate.weight")) return;
        values.forEach((_, i) => (values[i] = i < 2 * columns ? 1 : 0));
      },
    });
    const { latent } = await converted(source, optionsOf(method));
    expect(finite(await logitsOf(latent))).toBe(true);
    counted(task, { numbers: 1 });
  });

  it("converts weights at the smallest numbers there are, or says that it cannot", async ({
    task,
  }) => {
    const source = await changedLlama((name, values) => {
      if (/[qkvo]_proj/.test(name)) values.forEach((value, i) => (values[i] = value * 1e-30));
    });
    // Products of three of them are zero in float32, and a fit may be left without an equation.
    expect(["none", "NonFinite", "NotPositiveDefinite"]).toContain(
      await codeOf(() => converted(source, optionsOf(method))),
    );
    counted(task, { numbers: 1 });
  });

  it.for(["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "embed_tokens"])(
    "refuses what is not a number in %s by the tensor's name",
    async (part, { task }) => {
      for (const bad of [Number.NaN, Infinity, -Infinity]) {
        const source = await changedLlama((name, values) => {
          if (name.includes(part)) values[3] = bad;
        });
        expect(await codeOf(() => converted(source, optionsOf(method)))).toBe("NonFiniteWeight");
        counted(task, { numbers: 1 });
      }
    },
  );

  it("refuses to narrow what float16 cannot hold", async ({ task }) => {
    const source = await changedLlama((name, values) => {
      if (name.includes("down_proj")) values[0] = 1e6;
    });
    const files = await openModel(source);
    expect(() => planConversion(files, { ...optionsOf(method), dtype: "f16" })).not.toThrow();
    const narrow = () => converted(source, { ...optionsOf(method), dtype: "f16" });
    expect(await codeOf(narrow)).toBe("ValueNotRepresentable");
    counted(task, { numbers: 1 });
  });
});
