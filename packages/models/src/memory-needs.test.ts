import { fileURLToPath } from "node:url";
import { cpuDevice, cpuMemoryBytes, KernelsError } from "@transmla/kernels";
import { folder } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import { kvCacheNumbersPerToken } from "./config/model-config";
import { loadModel } from "./load";
import { memoryNeeds } from "./memory-needs";
import { openModel, type ModelFiles } from "./open-model";

const golden = fileURLToPath(new URL("../golden/llama", import.meta.url));
const MIB = 2 ** 20;

async function withFiles<Value>(body: (files: ModelFiles) => Promise<Value>): Promise<Value> {
  const files = await openModel(folder(golden));
  try {
    return await body(files);
  } finally {
    await files.close();
  }
}

describe("memoryNeeds", () => {
  it("counts every matrix, every vector and whole pages of the cache", () =>
    withFiles(async (files) => {
      const { weights = [], tensors = [], pools = [] } = memoryNeeds(files, { cacheTokens: 65 });
      const numbers = [...weights.map(({ shape }) => shape), ...tensors].reduce(
        (sum, [rows, columns]) => sum + rows * columns,
        0,
      );
      const inFiles = [...files.checkpoint.tensors.values()].reduce(
        (sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1),
        0,
      );
      expect(numbers).toBe(inFiles);
      const perToken = pools.reduce((sum, { width }) => sum + width, 0);
      expect(perToken).toBe(kvCacheNumbersPerToken(files.config));
      expect(pools.every(({ pages, pageTokens }) => pages * pageTokens === 128)).toBe(true);
      expect(memoryNeeds(files).pools).toEqual([]);
    }));

  it("is what a loaded model and its cache take", () =>
    withFiles(async (files) => {
      const device = await cpuDevice({ memoryLimit: 64 * MIB });
      const available = () => {
        try {
          device.checkRoom({ tensors: [[MIB, 64]] });
        } catch (error) {
          return (error as KernelsError).context["available"] as number;
        }
        throw new Error("there was room");
      };
      const before = available();
      const options = { cacheTokens: 100, cacheStorage: "bf16", weights: "i8" } as const;
      const model = await loadModel(files, device, options);
      model.createCache({ capacity: 100 });
      expect(before - available()).toBe(cpuMemoryBytes(memoryNeeds(files, options)));
      device.destroy();
    }));
});

describe("loadModel", () => {
  const small = () => cpuDevice({ memoryLimit: 1 * MIB });

  it("refuses what does not fit before any weight is read", () =>
    withFiles(async (files) => {
      const device = await small();
      let reads = 0;
      const counting = () => {
        reads++;
        return Promise.reject(new Error("read"));
      };
      const checkpoint = { ...files.checkpoint, tensors: files.checkpoint.tensors };
      const watched = {
        ...files,
        checkpoint: { ...checkpoint, read: counting, readBytes: counting } as never,
      };
      const options = { cacheTokens: 100_000 };
      const error = await loadModel(watched, device, options).catch((reason: unknown) => reason);
      expect(KernelsError.isInstance(error) && error.code).toBe("OutOfMemory");
      const needed = cpuMemoryBytes(memoryNeeds(files, options));
      expect((error as KernelsError).context).toMatchObject({ needed, limit: MIB });
      expect(reads).toBe(0);
      // The weights alone fit, so that it is the cache which was counted.
      await expect(loadModel(watched, device)).rejects.toThrow("read");
      expect(reads).toBe(1);
      device.destroy();
    }));
});
