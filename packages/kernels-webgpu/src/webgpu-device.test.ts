import {
  deviceKit,
  referenceDevice,
  type Device,
  type LatentAttention,
  type WeightStorage,
} from "@transmla/kernels";
import { conformance, trainingConformance } from "@transmla/kernels/conformance";
import { afterAll, describe, expect, test } from "vitest";
import { difference, noWebgpu, numbers, openedDevice } from "./testing";
import { webgpuDevice } from "./webgpu-device";

/** A weight of whole, small numbers in any storage: valid bytes whatever they mean. */
function someWeight(device: Device, rows: number, columns: number, storage: WeightStorage) {
  const weight = device.weight([rows, columns], storage);
  const bytes = new Uint8Array(rows * deviceKit.rowBytes(storage, columns));
  const halves = new Uint16Array(bytes.buffer);
  // Between 0.25 and 0.5 as binary16, harmless as anything else.
  for (let i = 0; i < halves.length; i++) halves[i] = 0x3400 + ((i * 37) % 1024);
  device.writeRows(weight, 0, bytes);
  return weight;
}

describe.skipIf(noWebgpu !== undefined)("WebGPU", () => {
  conformance("WebGPU device", () => webgpuDevice());
  trainingConformance("WebGPU device", () => webgpuDevice());

  describe("products without subgroups", () => {
    test.each(deviceKit.weightStorages)("%s", async (storage) => {
      const device = await webgpuDevice({ subgroups: false });
      expect(device.subgroupSize).toBeUndefined();
      const product = (on: Device) => {
        const x = on.tensor(numbers(3 * 512, 1), [3, 512]);
        return on.read(on.linear(x, someWeight(on, 21, 512, storage)));
      };
      expect(await difference(product(device), product(referenceDevice()))).toBeLessThan(1e-5);
      device.destroy();
    });
  });

  describe("commands", () => {
    test("are submitted once, by read, and read back only what is asked for", async () => {
      const device = await webgpuDevice();
      const weight = someWeight(device, 32, 32, "f32");
      const before = { ...device.statistics };
      const x = device.tensor(numbers(32, 1), [1, 32]);
      let y = x;
      for (let i = 0; i < 10; i++) y = device.add(device.linear(y, weight), x);
      expect(device.statistics.submissions).toBe(before.submissions);
      await device.read(device.argmax(y));
      expect(device.statistics.submissions).toBe(before.submissions + 1);
      expect(device.statistics.bytesRead - before.bytesRead).toBe(4);
      expect(device.statistics.dispatches - before.dispatches).toBe(21);
      device.destroy();
    });

    test("of equal steps use equal buffers and bind groups: nothing is made anew", async () => {
      const device = await webgpuDevice();
      const weight = someWeight(device, 64, 64, "bf16");
      const pool = device.pagePool({ pages: 2, pageTokens: 64, width: 64, storage: "f16" });
      const step = async (length: number) => {
        const logits = device.scope(() => {
          const x = device.tensor(numbers(64, length), [1, 64]);
          device.writePages(pool, x, Int32Array.of(length - 1));
          const pages = Int32Array.of(0, 1);
          const sequences = [{ queryStart: 0, queryCount: 1, length, pages }];
          const common = { heads: 2, kvHeads: 2, scale: 0.2, sequences };
          const query = device.linear(x, weight);
          return device.groupedAttention({ query, keys: pool, values: pool, ...common });
        });
        await device.read(logits);
        device.release(logits);
      };
      for (let length = 1; length <= 4; length++) await step(length);
      const { buffersCreated, bindGroupsCreated } = device.statistics;
      for (let length = 5; length <= 100; length++) await step(length);
      expect(device.statistics).toMatchObject({ buffersCreated, bindGroupsCreated });
      device.destroy();
    });

    test("see host data of any size in its place", async () => {
      const device = await webgpuDevice();
      const table = device.weight([2, 1], "f32");
      device.writeRows(table, 0, new Uint8Array(Float32Array.of(5, 7).buffer));
      const ids = Int32Array.from({ length: 400_000 }, (_, i) => (i % 3) & 1);
      const few = device.embedding(table, Int32Array.of(1));
      const many = device.embedding(table, ids);
      const again = device.embedding(table, Int32Array.of(0));
      expect([...(await device.read(few))]).toEqual([7]);
      expect((await device.read(many)).every((value, i) => value === 5 + 2 * ids[i]!)).toBe(true);
      expect([...(await device.read(again))]).toEqual([5]);
      device.destroy();
    });

    test("of a long program go out in several batches, none in the midst of an operation", async () => {
      const device = await webgpuDevice();
      const table = device.weight([3, 1], "f32");
      device.writeRows(table, 0, new Uint8Array(Float32Array.of(1, 2, 3).buffer));
      let sum = device.tensor(Float32Array.of(0), [1, 1]);
      // An odd number of commands per turn, so that a batch is full now before one, now before the other.
      for (let i = 0; i < 6000; i++) {
        const before = sum;
        sum = device.scope(() => {
          const row = device.embedding(table, Int32Array.of(i % 3));
          return device.add(before, i % 2 ? device.gatherRows(row, Int32Array.of(0)) : row);
        });
        device.release(before);
      }
      expect([...(await device.read(sum))]).toEqual([12_000]);
      expect(device.statistics.submissions).toBeGreaterThan(1);
      device.destroy();
    });

    test("take the GPU's own time, where it has a clock", async () => {
      const { device, raw } = await openedDevice();
      const weight = someWeight(device, 256, 256, "f32");
      const x = device.tensor(numbers(256, 1), [1, 256]);
      const seconds = await device.gpuSeconds(() => void device.linear(x, weight));
      if (raw.features.has("timestamp-query")) {
        expect(seconds).toBeGreaterThanOrEqual(0);
        expect(seconds).toBeLessThan(10);
      } else expect(seconds).toBeUndefined();
      device.destroy();
    });
  });

  describe("limits of the adapter", () => {
    test("weights lie in several buffers where one does not hold them", async () => {
      const { device, raw } = await openedDevice({}, { maxStorageBufferBindingSize: 20_000 });
      const limit = raw.limits.maxStorageBufferBindingSize;
      expect(limit).toBeGreaterThan(20_000);
      const results = (on: Device) => {
        const weight = someWeight(on, 100, 256, "q8_0");
        const x = on.tensor(numbers(256, 1), [1, 256]);
        const rows = on.embedding(weight, Int32Array.of(99, 0, 70), 2);
        return [on.read(on.linear(x, weight)), on.read(rows)] as const;
      };
      const actual = results(device);
      const expected = results(referenceDevice());
      for (const i of [0, 1] as const) {
        expect(await difference(actual[i], expected[i])).toBeLessThan(1e-5);
      }
      device.destroy();
    });

    test("what no kernel can see at once is refused, with the name of the limit", async () => {
      const { device } = await openedDevice({}, { maxStorageBufferBindingSize: 20_000 });
      const layout = { pages: 10, pageTokens: 64, width: 64 };
      const refusal = {
        code: "OutOfMemory",
        message: expect.stringContaining("maxStorageBufferBindingSize is 20000"),
        context: { available: 20_000, needed: 163_840, limit: "maxStorageBufferBindingSize" },
      };
      expect(() => device.pagePool(layout)).toThrow(expect.objectContaining(refusal));
      expect(() => device.checkRoom({ pools: [layout] })).toThrow(
        expect.objectContaining({ code: "OutOfMemory" }),
      );
      expect(() => device.tensor(new Float32Array(6000), [1, 6000])).toThrow(
        expect.objectContaining({ code: "OutOfMemory" }),
      );
      expect(() => device.weight([1, 6000], "f32")).toThrow(
        expect.objectContaining({ code: "OutOfMemory" }),
      );
      device.destroy();
    });

    test("memoryLimit holds, and what is kept for later is freed before it is reached", async () => {
      const device = await webgpuDevice({ memoryLimit: 2 ** 20 });
      for (let rows = 1; rows <= 40; rows++) {
        device.release(device.tensor(new Float32Array(5000 * rows), [rows, 5000]));
      }
      const weight = device.weight([200, 1000], "f32");
      expect(device.usedBytes).toBe(800_000);
      const needs = { weights: [{ shape: [100, 1000], storage: "f32" }] } as const;
      const refusal = { code: "OutOfMemory", context: { needed: 400_000, limit: "memoryLimit" } };
      expect(() => device.checkRoom(needs)).toThrow(
        expect.objectContaining({ code: "OutOfMemory" }),
      );
      expect(() => device.weight([100, 1000], "f32")).toThrow(
        expect.objectContaining({
          ...refusal,
          context: { ...refusal.context, available: 2 ** 20 - 800_000 },
        }),
      );
      device.release(weight);
      device.checkRoom(needs);
      device.release(device.weight([100, 1000], "f32"));
      expect(device.usedBytes).toBe(0);
      device.destroy();
    });
  });

  describe("failures of the GPU", () => {
    test("a lost device is a DeviceLost everywhere, and a new device works", async () => {
      const { device, raw } = await openedDevice();
      const x = device.tensor(Float32Array.of(1), [1, 1]);
      raw.destroy();
      await raw.lost;
      await expect(device.read(x)).rejects.toMatchObject({ code: "DeviceLost" });
      expect(() => device.add(x, x)).toThrow(expect.objectContaining({ code: "DeviceLost" }));
      device.destroy();
      const next = await webgpuDevice();
      expect([...(await next.read(next.tensor(Float32Array.of(2), [1, 1])))]).toEqual([2]);
      next.destroy();
    });

    test("a result that is waited for when the device is lost is a DeviceLost", async () => {
      const { device, raw } = await openedDevice();
      const reading = device.read(device.tensor(Float32Array.of(1), [1, 1]));
      raw.destroy();
      await expect(reading).rejects.toMatchObject({ code: "DeviceLost" });
      device.destroy();
    });

    test("an error that the GPU reports is thrown by the next read, once", async () => {
      const { device, raw } = await openedDevice();
      raw.createBuffer({ size: 16, usage: 0x1 | 0x2 });
      await raw.queue.onSubmittedWorkDone();
      const x = device.tensor(Float32Array.of(3), [1, 1]);
      await expect(device.read(x)).rejects.toMatchObject({ code: "DeviceFailure" });
      expect([...(await device.read(x))]).toEqual([3]);
      device.destroy();
    });

    test("without a GPU it says so", async () => {
      const gpu = { requestAdapter: async () => null } as unknown as GPU;
      await expect(webgpuDevice({ gpu })).rejects.toMatchObject({ code: "UnsupportedPlatform" });
      await expect(webgpuDevice({ memoryLimit: 5 })).rejects.toMatchObject({
        code: "InvalidArgument",
      });
    });
  });

  describe("beyond the sizes of the suite", () => {
    const opened = noWebgpu === undefined ? webgpuDevice() : undefined;
    afterAll(async () => (await opened)?.destroy());

    test("expanded attention over more rows than are restored at a time", async () => {
      const attention = (on: Device) => on.read(on.latentAttention(longInput(on, 5000)));
      const device = await opened!;
      expect(await difference(attention(device), attention(referenceDevice()))).toBeLessThan(1e-5);
    });

    test("a long context, split over workgroups, with wide values", async () => {
      const attention = (on: Device) => {
        const { keyUp: _, keyUpHeads: _heads, ...input } = longInput(on, 1500, 600);
        const queryNope = on.tensor(numbers(2 * 2 * 600, 3), [2, 2 * 600]);
        return on.read(on.latentAttention({ ...input, queryNope, way: "absorbed" }));
      };
      const device = await opened!;
      expect(await difference(attention(device), attention(referenceDevice()))).toBeLessThan(1e-5);
    });

    test("experts chosen by groups, each in a storage of its own", async () => {
      const mixture = (on: Device) => {
        const storages = ["q4_k", "q6_k", "f16", "i8", "q8_0", "q4_0", "bf16", "f32"] as const;
        const experts = storages.map((storage) => ({
          gate: someWeight(on, 40, 256, storage),
          up: someWeight(on, 40, 256, "f32"),
          down: someWeight(on, 256, 40, "bf16"),
        }));
        return on.read(
          on.mixtureOfExperts({
            x: on.tensor(numbers(30 * 256, 1), [30, 256]),
            routerLogits: on.tensor(numbers(30 * 8, 2), [30, 8]),
            experts,
            topK: 3,
            activation: "silu",
            routing: {
              scores: "softmax",
              bias: numbers(8, 5),
              groups: 4,
              topGroups: 2,
              bestOfGroup: 2,
              normalise: false,
              scale: 2.5,
            },
          }),
        );
      };
      const device = await opened!;
      expect(await difference(mixture(device), mixture(referenceDevice()))).toBeLessThan(1e-5);
    });
  });
});

function longInput(on: Device, length: number, rank = 4): LatentAttention {
  const latents = on.pagePool({ pages: Math.ceil(length / 64), pageTokens: 64, width: rank });
  const slots = Int32Array.from({ length }, (_, i) => i);
  on.writePages(latents, on.tensor(numbers(length * rank, 1), [length, rank]), slots);
  const pages = Int32Array.from({ length: latents.pages }, (_, i) => i);
  return {
    queryNope: on.tensor(numbers(2 * 2 * 5, 2), [2, 10]),
    latents,
    keyUp: someWeight(on, 5, rank, "f16"),
    keyUpHeads: 1,
    heads: 2,
    scale: 2,
    sequences: [{ queryStart: 0, queryCount: 2, length, pages }],
    way: "expanded",
  };
}
