import { describe, expect, test } from "vitest";
import { expectCode } from "../conformance/expectations";
import type { CacheStorage } from "../device";
import { weightStorages } from "../storage";
import { cpuDevice } from "./cpu-device";
import { Memory } from "./memory";
import { cpuMemoryBytes } from "./memory-needs";

const MIB = 2 ** 20;

describe("cpuMemoryBytes", () => {
  // A device that has room for exactly this much takes it, and one with a block less does not.
  test.each(weightStorages)("what a weight in %s takes, to the block", async (storage) => {
    const weights = [{ shape: [2004, 512] as const, storage }];
    const device = await cpuDevice({ memoryLimit: 8 * MIB });
    const bytes = cpuMemoryBytes({ weights });
    device.checkRoom({ weights });
    const { needed, available } = roomOf(() => device.checkRoom({ weights, tensors: [[MIB, 8]] }));
    expect(needed).toBe(bytes + 32 * MIB);
    device.weight(weights[0]!.shape, storage);
    expect(roomOf(() => device.checkRoom({ tensors: [[MIB, 8]] })).available).toBe(
      available - bytes,
    );
    device.destroy();
  });

  test.each<CacheStorage>(["f32", "f16", "bf16", "i8"])(
    "what a cache in %s takes",
    async (storage) => {
      const device = await cpuDevice({ memoryLimit: 8 * MIB });
      const before = roomOf(() => device.checkRoom({ tensors: [[MIB, 8]] })).available;
      const pool = { pages: 5, pageTokens: 64, width: 97, storage };
      device.pagePool(pool);
      const after = roomOf(() => device.checkRoom({ tensors: [[MIB, 8]] })).available;
      expect(before - after).toBe(cpuMemoryBytes({ pools: [pool] }));
      device.destroy();
    },
  );

  test("room comes back with what is released", () => {
    const memory = new Memory(4 * MIB);
    const before = memory.available;
    const first = memory.allocate(MIB);
    memory.allocate(64);
    memory.free(first);
    expect(memory.available).toBe(before - 64);
  });

  test("the refusal names needed and available bytes and changes nothing", () => {
    const memory = new Memory(4 * MIB);
    memory.checkRoom(memory.available);
    expectCode("OutOfMemory", () => memory.checkRoom(memory.available + 1));
    expect(() => memory.checkRoom(6 * MIB)).toThrow(
      /needs 6\.0 MiB .* 4\.0 MiB left of at most 4\.0 MiB/,
    );
    memory.allocate(memory.available);
    expect(memory.available).toBe(0);
  });

  test("says why where 32 bits are the limit", () => {
    expect(() => new Memory(2 ** 33).checkRoom(2 ** 33)).toThrow(/8192\.0 MiB .*32 bits/);
  });
});

/** Needed and available bytes of a refusal. */
function roomOf(body: () => void): { needed: number; available: number } {
  try {
    body();
  } catch (error) {
    return (error as { context: { needed: number; available: number } }).context;
  }
  throw new Error("there was room");
}
