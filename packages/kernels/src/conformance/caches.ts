import { expect, test } from "vitest";
import { cacheStorages, decodeStoredRow, roundRow, storedRowBytes } from "../cache-storage";
import type { AttentionSequence, CacheStorage, PagePool } from "../device";
import {
  expectClose,
  expectCode,
  randomTensor,
  randomWeight,
  tensorOf,
  type Subject,
} from "./expectations";
import { Random } from "./random";

/** What one row of a cache holds. */
const known: Readonly<Record<CacheStorage, readonly [number[], number[]]>> = {
  f32: [
    [0.1, -3],
    [Math.fround(0.1), -3],
  ],
  // 10 bits of fraction, subnormals in steps of 2^-24, ties to even, infinity from 65520 on.
  f16: [
    [1 + 2 ** -11, 1 + 3 * 2 ** -11, -(2 ** -24), 1.5 * 2 ** -24, 65519, -65520, 0.1],
    [1, 1 + 2 ** -9, -(2 ** -24), 2 ** -23, 65504, -Infinity, 0.0999755859375],
  ],
  // 7 bits of fraction.
  bf16: [
    [1 + 2 ** -8, 1 + 3 * 2 ** -8, -(2 ** -130), 65536 * (1 + 2 ** -9), 0.1],
    [1, 1 + 2 ** -6, -(2 ** -130), 65536, 0.10009765625],
  ],
  // Whole multiples of the largest over 127: here 0.5.
  i8: [
    [63.5, -63.5, 0.25, 0.75, -0.7, 0.2, 0],
    [63.5, -63.5, 0, 1, -0.5, 0, 0],
  ],
};

export function cacheTests(subject: Subject): void {
  test.each(cacheStorages)("%s rows: known answers", async (storage) => {
    const { device } = subject;
    const [values, expected] = known[storage];
    const pool = device.pagePool({ pages: 1, pageTokens: 2, width: values.length, storage });
    expect(pool.storage).toBe(storage);
    const rows = device.tensor(Float32Array.from(values), [1, values.length]);
    device.writePages(pool, rows, Int32Array.of(1));
    const read = await device.read(device.readPages(pool, Int32Array.of(1, 0)));
    expect([...read]).toEqual([...expected, ...expected.map(() => 0)]);
  });

  test.each(cacheStorages)("%s rows: every number is the nearest", async (storage) => {
    const { device } = subject;
    for (const width of [1, 3, 16, 65]) {
      const pool = device.pagePool({ pages: 5, pageTokens: 8, width, storage });
      const slots = Int32Array.from(new Random(width).permutation(40));
      const { tensor, values } = randomTensor(device, new Random(20), [40, width], 0.3);
      device.writePages(pool, tensor, slots);
      const read = await device.read(device.readPages(pool, slots));
      for (let t = 0; t < 40; t++) {
        const part = [t * width, (t + 1) * width] as const;
        expect(read.slice(...part)).toEqual(roundRow(values.slice(...part), storage));
      }
      device.release(pool);
    }
  });

  test.each(cacheStorages)("%s rows: copied and moved bit by bit", async (storage) => {
    const { device } = subject;
    const width = 13;
    const layout = { pages: 3, pageTokens: 4, width, storage };
    const [pool, other] = [device.pagePool(layout), device.pagePool(layout)];
    const { tensor } = randomTensor(device, new Random(21), [5, width], 3);
    const slots = Int32Array.of(9, 0, 3, 4, 7);
    device.writePages(pool, tensor, slots);
    const expected = await device.read(device.readPages(pool, slots));
    const bytes = await device.readStoredPages(pool, slots);
    expect(bytes.length).toBe(5 * storedRowBytes(storage, width));
    for (const i of [0, 4]) {
      const row = bytes.subarray((i * bytes.length) / 5, ((i + 1) * bytes.length) / 5);
      const numbers = expected.slice(i * width, (i + 1) * width);
      expect(decodeStoredRow(row, storage)).toEqual(numbers);
    }

    const copies = Int32Array.of(1, 2, 5, 11, 8);
    device.copyPages(pool, slots, copies);
    expect(await device.readStoredPages(pool, copies)).toEqual(bytes);
    expect(await device.readStoredPages(pool, slots)).toEqual(bytes);
    device.writeStoredPages(other, copies, bytes);
    expect(await device.readStoredPages(other, copies)).toEqual(bytes);
    expect(await device.read(device.readPages(other, copies))).toEqual(expected);
  });

  test("stored rows of another size, and slots beyond the pool, are refused", async () => {
    const { device } = subject;
    const pool = device.pagePool({ pages: 1, pageTokens: 4, width: 6, storage: "i8" });
    const one = Int32Array.of(0);
    expectCode("ShapeMismatch", () => device.writeStoredPages(pool, one, new Uint8Array(12)));
    expectCode("IndexOutOfRange", () =>
      device.writeStoredPages(pool, Int32Array.of(4), new Uint8Array(10)),
    );
    device.writeStoredPages(pool, one, new Uint8Array(10));
    await expect(device.readStoredPages(pool, Int32Array.of(4))).rejects.toMatchObject({
      code: "IndexOutOfRange",
    });
    expectCode("ShapeMismatch", () => device.copyPages(pool, one, new Int32Array(2)));
    expectCode("IndexOutOfRange", () => device.copyPages(pool, one, Int32Array.of(4)));
    expectCode("IndexOutOfRange", () => device.copyPages(pool, Int32Array.of(-1), one));
    device.copyPages(pool, one, Int32Array.of(3));
  });

  test("not a number stays visible", async () => {
    const { device } = subject;
    for (const storage of cacheStorages) {
      for (const bad of [NaN, Infinity]) {
        const pool = device.pagePool({ pages: 1, pageTokens: 1, width: 9, storage });
        const row = Float32Array.of(0, 1, 2, 3, bad, 5, 6, 7, 8);
        device.writePages(pool, device.tensor(row, [1, 9]), Int32Array.of(0));
        const read = await device.read(device.readPages(pool, Int32Array.of(0)));
        expect(Number.isFinite(read[4])).toBe(false);
      }
    }
  });

  test.each(cacheStorages)(
    "not a number in %s rows stays visible in attention",
    async (storage) => {
      const { device } = subject;
      const latents = device.pagePool({ pages: 1, pageTokens: 3, width: 2, storage });
      const rows = tensorOf(device, [
        [1, 2],
        [3, NaN],
        [5, 6],
      ]);
      device.writePages(latents, rows, Int32Array.of(0, 1, 2));
      const queryNope = tensorOf(device, [[1, 1]]);
      const sequences = [{ queryStart: 0, queryCount: 1, length: 3, pages: Int32Array.of(0) }];
      const input = { queryNope, latents, heads: 1, scale: 1, sequences } as const;
      const y = await device.read(device.latentAttention({ ...input, way: "absorbed" }));
      expect([...y].filter(Number.isFinite)).toEqual([]);
    },
  );

  test("unknown storages and too wide rows are refused", () => {
    const { device } = subject;
    const layout = { pages: 1, pageTokens: 1, width: 16_385 };
    const unknown = "i4" as CacheStorage;
    expectCode("UnsupportedStorage", () => device.pagePool({ ...layout, storage: unknown }));
    expectCode("InvalidArgument", () => device.pagePool({ ...layout, storage: "i8" }));
    device.release(device.pagePool(layout));
  });

  for (const storage of cacheStorages.filter((name) => name !== "f32")) {
    test(`attention over ${storage} rows is attention over their rounded numbers`, async () => {
      const { device } = subject;
      for (const [sequences, window, pageTokens, headDim] of [
        [[sequence(0, 1, 61)], undefined, 8, 20],
        [[sequence(0, 33, 61)], undefined, 8, 20],
        [[sequence(0, 2, 9), sequence(2, 1, 60), sequence(3, 5, 30)], 7, 8, 20],
        [[sequence(0, 1, 259), sequence(1, 2, 131)], undefined, 256, 20],
        // Long rows, of which few are copied at once.
        [[sequence(0, 9, 250), sequence(9, 1, 249)], undefined, 32, 200],
      ] as const) {
        const tokens = sequences.reduce((sum, { queryCount }) => sum + queryCount, 0);
        const common = { heads: 6, scale: 0.3, window, sequences };
        const [keys, values] = [
          planes(subject, 1, 3 * headDim, storage, pageTokens),
          planes(subject, 2, 36, storage, pageTokens),
        ];
        const query = randomTensor(device, new Random(3), [tokens, 6 * headDim]).tensor;
        const grouped = (which: 0 | 1) =>
          device.groupedAttention({
            ...common,
            query,
            kvHeads: 3,
            keys: keys[which],
            values: values[which],
          });
        await expectSame(subject, grouped(0), grouped(1));

        const latents = planes(subject, 4, 40, storage, pageTokens);
        const ropeKeys = planes(subject, 5, 6, storage, pageTokens);
        const random = new Random(6);
        const input = {
          ...common,
          queryNope: randomTensor(device, random, [tokens, 6 * 12]).tensor,
          queryRope: randomTensor(device, random, [tokens, 6 * 6]).tensor,
          keyUp: randomWeight(device, random, [3 * 12, 40], "bf16").weight,
          keyUpHeads: 3,
          valueUp: randomWeight(device, random, [6 * 10, 40], "i8").weight,
          valueUpHeads: 6,
        };
        for (const way of ["absorbed", "expanded"] as const) {
          const latent = (which: 0 | 1) =>
            device.latentAttention({
              ...input,
              way,
              latents: latents[which],
              ropeKeys: ropeKeys[which],
            });
          await expectSame(subject, latent(0), latent(1));
        }
      }
    });
  }
}

function sequence(queryStart: number, queryCount: number, length: number): AttentionSequence {
  return { queryStart, queryCount, length, pages: Int32Array.of(3, 0, 7, 6, 5, 1, 2, 4) };
}

/** The same random rows in a pool of the storage, and rounded in one of float32. */
function planes(
  { device }: Subject,
  seed: number,
  width: number,
  storage: CacheStorage,
  pageTokens: number,
): readonly [PagePool, PagePool] {
  const count = 8 * pageTokens;
  const { tensor, values } = randomTensor(device, new Random(seed), [count, width]);
  const rounded = values.slice();
  for (let at = 0; at < values.length; at += width) {
    rounded.set(roundRow(values.slice(at, at + width), storage), at);
  }
  const slots = Int32Array.from({ length: count }, (_, i) => i);
  const layout = { pages: 8, pageTokens, width };
  const pools = [device.pagePool({ ...layout, storage }), device.pagePool(layout)] as const;
  device.writePages(pools[0], tensor, slots);
  device.writePages(pools[1], device.tensor(rounded, [count, width]), slots);
  return pools;
}

async function expectSame(
  subject: Subject,
  actual: Parameters<typeof expectClose>[1],
  expected: Parameters<typeof expectClose>[1],
): Promise<void> {
  await expectClose(subject, actual, expected.shape, await subject.device.read(expected));
}
