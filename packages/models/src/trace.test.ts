import { fileURLToPath } from "node:url";
import { cpuDevice, referenceDevice } from "@transmla/kernels";
import { folder } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { appendBatch } from "./batch";
import { loadDecoderLayer } from "./decoder-layer";
import { embedTokens } from "./ends";
import { loadModel } from "./load";
import type { Model } from "./model";
import { openModel, type ModelFiles } from "./open-model";
import { Rotations } from "./rotations";
import { attentionPrefix } from "./tensors";
import type { LayerTrace } from "./trace";
import { WeightLoader } from "./weights";

const golden = (name: string) => fileURLToPath(new URL(`../golden/${name}`, import.meta.url));
const tokens = Int32Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % 96);

/** What the first layer's heads give the last token, by the device's own attention. */
async function mixedByDevice(files: ModelFiles, model: Model): Promise<Float32Array> {
  const { device, config } = model;
  const loader = new WeightLoader(device, files.checkpoint);
  const layer = await loadDecoderLayer(loader, config, 0);
  const cache = model.createCache({ capacity: tokens.length });
  const batch = appendBatch([{ sequence: cache.open(), tokens }], config);
  const rotations = new Rotations(device, batch.positions, [
    config.layers[0].attention.frequencies,
  ]);
  const table = await loader.matrix("model.embed_tokens.weight");
  const x = layer.attentionInput(embedTokens(device, config, table, batch.ids));
  const mixed = layer.attention.mix(x, { ...batch, pools: cache.pool(0), rotations });
  return device.read(device.gatherRows(mixed, batch.lastRows));
}

/** `o_i = sum_n p_i,n v_a(i),n` from a trace; values of latent attention are restored from its latents. */
async function mixedByTrace(files: ModelFiles, trace: LayerTrace): Promise<number[]> {
  const { attention } = files.config.layers[0];
  const { heads, weights, planes } = trace;
  const length = weights.length / heads;
  const plane = planes.find(({ name }) => name === "values" || name === "latents")!;
  const row = (n: number) => plane.rows.subarray(n * plane.width, (n + 1) * plane.width);
  const up =
    attention.kind === "mla"
      ? await files.checkpoint.read(`${attentionPrefix(0)}v_b_proj.weight`, { as: "f32" })
      : undefined;
  const valueDim = attention.kind === "mla" ? attention.valueDim : attention.headDim;
  const groups = attention.kind === "mla" ? attention.valueUpHeads : attention.kvHeads;
  return Array.from({ length: heads * valueDim }, (_, i) => {
    const head = Math.floor(i / valueDim);
    const column = Math.floor((head * groups) / heads) * valueDim + (i % valueDim);
    let sum = 0;
    for (let n = 0; n < length; n++) {
      const value = up
        ? row(n).reduce((dot, c, k) => dot + c * up[column * plane.width + k]!, 0)
        : row(n)[column]!;
      sum += weights[head * length + n]! * value;
    }
    return sum;
  });
}

describe("Model.trace", () => {
  it.each(["llama", "mistral-window", "qwen3", "gemma2", "deepseek-v3", "deepseek-v3-q-lora"])(
    "gives the weights by which the attention of %s mixes its values",
    async (family) => {
      const files = await openModel(folder(golden(family)));
      const model = await loadModel(files, referenceDevice());
      const { layers, length } = await model.trace(tokens);
      expect(length).toBe(tokens.length);
      expect(layers).toHaveLength(files.config.layers.length);
      const expected = await mixedByDevice(files, model);
      const actual = await mixedByTrace(files, layers[0]!);
      for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, 5);
      await files.close();
    },
  );

  it("sees nothing outside of a window, and every head's weights sum to one", async () => {
    const files = await openModel(folder(golden("mistral-window")));
    const model = await loadModel(files, referenceDevice());
    const { window } = files.config.layers[0].attention;
    expect(window).toBeLessThan(tokens.length);
    for (const { weights, heads } of (await model.trace(tokens)).layers) {
      for (let head = 0; head < heads; head++) {
        const row = weights.subarray(head * tokens.length, (head + 1) * tokens.length);
        expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
        expect(row.subarray(0, tokens.length - window!).every((weight) => weight === 0)).toBe(true);
      }
    }
    await files.close();
  });

  it("leaves nothing on the device and stops between layers", async () => {
    const files = await openModel(folder(golden("llama")));
    const model = await loadModel(files, await cpuDevice({ memoryLimit: 64 << 20 }));
    const [first] = (await model.trace(tokens)).layers;
    for (let run = 0; run < 20; run++) await model.trace(tokens);
    expect((await model.trace(tokens)).layers[0]).toEqual(first);
    const abort = new AbortController();
    const layersSeen: number[] = [];
    const tracing = model.trace(tokens, {
      signal: abort.signal,
      onProgress: ({ done }) => {
        layersSeen.push(done);
        abort.abort(new Error("enough"));
      },
    });
    await expect(tracing).rejects.toThrow("enough");
    expect(layersSeen).toEqual([1]);
    await files.close();
  });
});
