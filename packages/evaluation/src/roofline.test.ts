import { referenceDevice } from "@transmla/kernels";
import { kvCacheNumbersPerToken, openModel } from "@transmla/models";
import { modelFolderPath } from "@transmla/sample-model";
import { folder } from "@transmla/tensor-io";
import { expect, it } from "vitest";
import { addWork, attentionWork, limitSeconds, measureLimits, weightWork } from "./roofline";

async function sample() {
  const files = await openModel(folder(modelFolderPath()));
  await files.close();
  return files;
}

it("the slower of the two limits counts", () => {
  const limits = { bandwidth: 10, gemm: 100 };
  expect(limitSeconds({ bytes: 20, flops: 100 }, limits)).toBe(2);
  expect(limitSeconds({ bytes: 20, flops: 500 }, limits)).toBe(5);
  expect(addWork({ bytes: 1, flops: 2 }, { bytes: 3, flops: 4 })).toEqual({ bytes: 4, flops: 6 });
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

it("measures a device and leaves nothing on it", async () => {
  const device = referenceDevice();
  const small = await measureLimits(device, { streamed: 1 << 18, tokens: 4 });
  expect(small.bandwidth).toBeGreaterThan(1e6);
  expect(small.gemm).toBeGreaterThan(1e6);
  expect(() => device.destroy()).not.toThrow();
});
