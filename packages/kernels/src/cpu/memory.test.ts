import { describe, expect, test } from "vitest";
import { expectCode } from "../conformance/expectations";
import { Random } from "../conformance/random";
import { Memory } from "./memory";

describe("Memory", () => {
  test("blocks are aligned, distinct and writable to their last byte", () => {
    const memory = new Memory(2 ** 24);
    const sizes = [1, 63, 64, 65, 1000, 100_000];
    const blocks = sizes.map((bytes) => ({ bytes, pointer: memory.allocate(bytes) }));
    blocks.forEach(({ pointer, bytes }, i) => memory.bytes.fill(i + 1, pointer, pointer + bytes));
    blocks.forEach(({ pointer, bytes }, i) => {
      expect(pointer % 64).toBe(0);
      const content = memory.bytes.subarray(pointer, pointer + bytes);
      expect(content.every((byte) => byte === i + 1)).toBe(true);
    });
  });

  test("a freed block is used again, the tightest first", () => {
    const memory = new Memory(2 ** 24);
    const [large, , small] = [4096, 64, 1024, 64].map((bytes) => memory.allocate(bytes));
    memory.free(large!);
    memory.free(small!);
    expect(memory.allocate(1000)).toBe(small);
    expect(memory.allocate(1000)).toBe(large);
    expect(memory.allocate(3000)).toBe(large! + 1024);
  });

  test("neighbours merge, whatever the order of freeing", () => {
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [0, 2, 1],
      [1, 0, 2],
    ]) {
      const memory = new Memory(2 ** 24);
      const blocks = [0, 1, 2].map(() => memory.allocate(640));
      memory.allocate(64);
      for (const i of order) memory.free(blocks[i]!);
      expect(memory.allocate(3 * 640)).toBe(blocks[0]);
    }
  });

  test("a free block at the end is extended", () => {
    const memory = new Memory(2 ** 24);
    memory.allocate(64);
    const last = memory.allocate(640);
    memory.free(last);
    expect(memory.allocate(100_000)).toBe(last);
  });

  test("memory grows, and content survives", () => {
    const memory = new Memory(2 ** 26);
    const first = memory.allocate(4);
    memory.view(first, 1)[0] = 42;
    const before = memory.floats;
    memory.allocate(2 ** 25);
    expect(memory.floats === before).toBe(false);
    expect(memory.view(first, 1)[0]).toBe(42);
  });

  test("beyond the limit: OutOfMemory, and nothing changes", () => {
    const memory = new Memory(2 ** 20);
    const block = memory.allocate(2 ** 19);
    expectCode("OutOfMemory", () => memory.allocate(2 ** 19));
    expectCode("OutOfMemory", () => memory.allocate(2 ** 50));
    memory.free(block);
    expect(memory.allocate(2 ** 19)).toBe(block);
  });

  test("temporary blocks are freed, also after an error", () => {
    const memory = new Memory(2 ** 20);
    for (let round = 0; round < 10; round++) {
      memory.temporarily((allocate) => allocate(2 ** 19));
      expect(() =>
        memory.temporarily((allocate) => {
          allocate(2 ** 19);
          throw new Error("on purpose");
        }),
      ).toThrow("on purpose");
    }
  });

  test("random use: no two live blocks overlap, and everything comes back", () => {
    const random = new Random(1);
    const memory = new Memory(2 ** 24);
    const live: { pointer: number; bytes: number }[] = [];
    const whole = memory.allocate(2 ** 20);
    memory.free(whole);
    for (let step = 0; step < 3000; step++) {
      if (live.length > 40 || (live.length > 0 && random.next() < 0.45)) {
        memory.free(live.splice(random.below(live.length), 1)[0]!.pointer);
        continue;
      }
      const bytes = 1 + random.below(5000);
      const pointer = memory.allocate(bytes);
      for (const other of live) {
        const apart = pointer >= other.pointer + other.bytes || other.pointer >= pointer + bytes;
        expect(apart).toBe(true);
      }
      live.push({ pointer, bytes });
    }
    for (const { pointer } of live) memory.free(pointer);
    expect(memory.allocate(2 ** 20)).toBe(whole);
  });
});
