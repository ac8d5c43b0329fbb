import { fileURLToPath } from "node:url";
import {
  bytesSource,
  fileSource,
  folder,
  formatJson,
  memoryFolder,
  memorySink,
  openGguf,
  parseStrictJson,
  type JsonObject,
} from "@transmla/tensor-io";
import { referenceDevice } from "@transmla/kernels";
import { describe, expect, it, onTestFinished } from "vitest";
import { ModelsError } from "../errors";
import { loadModel } from "../load";
import { openModel, type ModelFiles } from "../open-model";
import { planGgufExport, writeGgufExport, type GgufExportOptions } from "./gguf";
import { planSafetensorsExport, writeSafetensorsExport } from "./safetensors";

const golden = (path: string) => fileURLToPath(new URL(`../../golden/${path}`, import.meta.url));
const tokens = Int32Array.of(3, 1, 4, 1, 5, 9, 2, 6);

async function logitsOf(files: ModelFiles): Promise<Float32Array> {
  const device = referenceDevice();
  const model = await loadModel(files, device);
  const cache = model.createCache({ capacity: tokens.length });
  const logits = model.forward(cache, [{ sequence: cache.open(), tokens }], "all");
  return device.read(logits);
}

async function ggufBytes(files: ModelFiles, options?: GgufExportOptions): Promise<Uint8Array> {
  const sink = memorySink("model.gguf");
  await writeGgufExport(planGgufExport(files, options), sink);
  return sink.bytes();
}

/** A golden model, closed when the test ends. */
async function openGolden(name: string): Promise<ModelFiles> {
  const path = golden(name);
  const files = await openModel(path.endsWith(".gguf") ? await fileSource(path) : folder(path));
  onTestFinished(() => files.close());
  return files;
}

const openBytes = async (bytes: Uint8Array) => openModel(bytesSource(bytes, "model.gguf"));

describe("to GGUF", () => {
  // Written by the gguf Python package (tools/golden/gguf_models.py).
  it.each(["llama", "qwen2", "qwen3", "deepseek-v3-experts"])(
    "%s: the weights of the file that Python wrote",
    async (family) => {
      const exported = await openGguf(
        bytesSource(await ggufBytes(await openGolden(family), { weights: "F32" })),
      );
      const expected = await openGguf(await fileSource(golden(`${family}/model.gguf`)));
      onTestFinished(() => expected.close());
      expect([...exported.tensors.keys()].toSorted()).toEqual(
        [...expected.tensors.keys()].toSorted(),
      );
      for (const [name, { shape, dtype }] of expected.tensors) {
        expect(exported.tensors.get(name)).toMatchObject({ shape, dtype });
        expect(await exported.readBytes(name), name).toEqual(await expected.readBytes(name));
      }
      for (const [key, value] of expected.values)
        expect(exported.values.get(key), key).toEqual(value);
    },
  );

  it.each(["llama", "llama-tied", "llama-bias", "llama-sharded", "qwen2", "qwen3", "mistral"])(
    "%s: the same logits",
    async (family) => {
      const files = await openGolden(family);
      const copy = await openBytes(await ggufBytes(files));
      const expected = await logitsOf(files);
      const actual = await logitsOf(copy);
      // The norm's epsilon and the rotary base are float32 in a GGUF file.
      for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, 4);
    },
  );

  it("rounds matrices to the type asked for and leaves vectors alone", async () => {
    const files = await openGolden("llama");
    const checkpoint = await openGguf(bytesSource(await ggufBytes(files, { weights: "Q8_0" })));
    expect(checkpoint.tensors.get("blk.0.attn_q.weight")!.dtype).toBe("Q8_0");
    // Rows of 48 numbers are no whole blocks.
    expect(checkpoint.tensors.get("blk.0.ffn_down.weight")!.dtype).toBe("F16");
    expect(checkpoint.tensors.get("blk.0.attn_norm.weight")!.dtype).toBe("F32");
    expect(checkpoint.values.get("general.file_type")).toBe(7);
  });

  it.each([
    ["llama-llama3-rope", "the rotary scaling"],
    ["llama-linear-rope", "the rotary scaling"],
    ["mistral-window", "the sliding window"],
    ["mixtral", "the architecture"],
    ["smollm3", "the architecture"],
    ["deepseek-v3-bias", "biases of the attention"],
    ["deepseek-v2-experts", "the best of a group"],
  ])("%s is refused because of %s", async (family, part) => {
    const files = await openGolden(family);
    expect(() => planGgufExport(files)).toThrow(
      expect.objectContaining({ code: "UnsupportedModel", message: expect.stringContaining(part) }),
    );
    expect(() => planGgufExport(files)).toThrow(ModelsError);
  });

  it("keeps two query factors apart, and the latent's norm", async () => {
    const { tensors } = planGgufExport(await openGolden("deepseek-v3-q-lora"));
    const shapes = new Map(tensors.map(({ spec: { name, shape } }) => [name, shape]));
    expect(shapes.get("blk.1.attn_q_a.weight")).toEqual([24, 32]);
    expect(shapes.get("blk.1.attn_q_a_norm.weight")).toEqual([24]);
    expect(shapes.get("blk.1.attn_q_b.weight")).toEqual([64, 24]);
    expect(shapes.get("blk.1.attn_kv_a_norm.weight")).toEqual([20]);
    expect(shapes.has("blk.1.attn_q.weight")).toBe(false);
  });

  it("stops where it is told to and leaves no file", async () => {
    const files = await openGolden("llama");
    const controller = new AbortController();
    const sink = memorySink();
    const stopped = writeGgufExport(planGgufExport(files), sink, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("enough")),
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(() => sink.bytes()).toThrow("was not committed");
  });
});

describe("to safetensors", () => {
  it.each(["llama", "qwen2", "qwen3"])("%s from GGUF: the same logits", async (family) => {
    const files = await openGolden(`${family}/model.gguf`);
    const target = memoryFolder();
    const extraFiles = new Map([["tokenizer.json", Uint8Array.of(1, 2)]]);
    const totals = new Set<number>();
    const plan = planSafetensorsExport(files, { maxShardBytes: 50_000 });
    await writeSafetensorsExport(plan, target, {
      extraFiles,
      onProgress: ({ done, total }) => totals.add(done / total),
    });
    expect([...totals].at(-1)).toBe(1);
    expect(plan.shards.shards.length).toBeGreaterThan(1);
    expect(await target.has("tokenizer.json")).toBe(true);
    expect(await logitsOf(await openModel(target))).toEqual(await logitsOf(files));
  });

  it("and back again: the same bytes of every weight", async () => {
    const files = await openGolden("llama");
    const target = memoryFolder();
    await writeSafetensorsExport(
      planSafetensorsExport(await openBytes(await ggufBytes(files))),
      target,
    );
    const copy = await openModel(target);
    for (const name of files.checkpoint.tensors.keys()) {
      const before = await files.checkpoint.read(name, { as: "f32" });
      expect(await copy.checkpoint.read(name, { as: "f32" }), name).toEqual(before);
    }
  });

  it("keeps the config and says the type of the weights", async () => {
    const files = await openGolden("qwen2");
    const target = memoryFolder();
    await writeSafetensorsExport(planSafetensorsExport(files, { weights: "F16" }), target);
    const source = await target.open("config.json");
    const config = parseStrictJson(await source.read(0, source.size)) as JsonObject;
    const expected = new Map(files.configJson).set("torch_dtype", "float16");
    expect(formatJson(config)).toBe(formatJson(expected));
  });
});
