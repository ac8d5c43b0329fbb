import { referenceDevice } from "@transmla/kernels";
import { kvCacheNumbersPerToken, openModel } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { attentionWork, limitSeconds, measureLimits, prefillWork, weightWork } from "./roofline";

async function sample() {
  const files = await openModel(folder(modelFolderPath()));
  await files.close();
  return files;
}

it("the slower of the two limits counts", () => {
  const limits = { bandwidth: 10, gemm: 100 };
  expect(limitSeconds({ bytes: 20, flops: 100 }, limits)).toBe(2);
  expect(limitSeconds({ bytes: 20, flops: 500 }, limits)).toBe(5);
});

it("one decoded token reads every bf16 matrix of the sample model once", async () => {
  const { config, checkpoint } = await sample();
  const matrices = [...checkpoint.tensors.values()].filter(({ shape }) => shape.length === 2);
  const { bytes, flops } = weightWork(config, checkpoint);
  expect(bytes).toBe(matrices.reduce((sum, { byteLength }) => sum + byteLength, 0));
  expect(flops).toBe(bytes);
});

it("attention of one token reads the cache and does 2 h d multiply-adds per cached token and layer", async () => {
  const { config } = await sample();
  const { bytes, flops } = attentionWork(config, 100);
  expect(bytes).toBe(100 * 4 * kvCacheNumbersPerToken(config));
  // 6 layers, 8 heads of 32.
  expect(flops).toBe(2 * 100 * 6 * 2 * 8 * 32);
});

it("latent attention costs h (2 r + d_rope), windows shorten the context", async () => {
  const { config } = await sample();
  const [first] = config.layers;
  const latent = {
    ...first!.attention,
    kind: "mla" as const,
    kvLoraRank: 48,
    ropeDim: 16,
    nopeDim: 32,
    valueDim: 32,
    keyUpHeads: 4,
    valueUpHeads: 4,
    queryBias: false,
    latentBias: false,
  };
  const one = (attention: typeof latent) => ({ ...config, layers: [{ ...first!, attention }] });
  expect(attentionWork(one(latent), 100)).toEqual({
    bytes: 100 * 4 * 64,
    flops: 2 * 100 * 8 * (2 * 48 + 16),
  });
  expect(attentionWork(one({ ...latent, window: 10 }), 100).bytes).toBe(10 * 4 * 64);
  // The exact construction scores rotated keys only.
  expect(attentionWork(one({ ...latent, nopeDim: 0 }), 1).flops).toBe(2 * 8 * (48 + 16));
});

it("a cache in bytes costs its bytes and scales", async () => {
  const { config } = await sample();
  const planes = config.layers.length * 2;
  const { bytes } = attentionWork(config, 10, "i8");
  expect(bytes).toBe(10 * (kvCacheNumbersPerToken(config) + 4 * planes));
});

it("a prefill step reads weights and cache once and computes every token, the head once", async () => {
  const { config } = await sample();
  const head = 2 * config.vocabSize * config.hiddenSize;
  const one = { bytes: 1000, flops: head + 50 };
  const step = prefillWork(config, one, { cached: 7, tokens: 3 });
  expect(step.weights).toEqual({ bytes: 1000, flops: 3 * 50 + head });
  expect(step.attention.bytes).toBe(attentionWork(config, 10).bytes);
  // The three tokens see 8, 9 and 10.
  const seen = [8, 9, 10].map((context) => attentionWork(config, context).flops);
  expect(step.attention.flops).toBe(seen.reduce((sum, flops) => sum + flops));
});

it("measures a device and leaves nothing on it", async () => {
  const device = referenceDevice();
  const small = await measureLimits(device, { streamed: 1 << 18, tokens: 4 });
  expect(small.bandwidth).toBeGreaterThan(1e6);
  expect(small.gemm).toBeGreaterThan(1e6);
  expect(() => device.destroy()).not.toThrow();
});
