import { referenceDevice } from "@transmla/kernels";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CacheSequence } from "./cache-sequence";
import { LatentCacheError } from "./errors";
import { PagedCache } from "./paged-cache";

const layers = [[{ name: "latents", width: 3 }], [{ name: "latents", width: 2 }]];

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (LatentCacheError.isInstance(error)) return error.code;
    throw error;
  }
  return "none";
}

describe("PagedCache", () => {
  it("counts numbers per token over layers and planes", () => {
    const planes = [
      { name: "keys", width: 6 },
      { name: "values", width: 4 },
    ];
    const cache = new PagedCache(referenceDevice(), {
      layers: [planes, planes],
      capacity: 10,
      pageTokens: 4,
    });
    expect(cache.numbersPerToken).toBe(20);
    // Ten tokens need three pages of four.
    expect(cache.freeTokens).toBe(12);
  });

  it("hands out slots in page order and counts the bytes in use", () => {
    const cache = new PagedCache(referenceDevice(), { layers, capacity: 12, pageTokens: 4 });
    const a = cache.open();
    const b = cache.open();
    expect([...a.append(3)]).toEqual([0, 1, 2]);
    expect([...b.append(5)]).toEqual([4, 5, 6, 7, 8]);
    expect([...a.append(1)]).toEqual([3]);
    expect([...a.pages]).toEqual([0]);
    expect([...b.pages]).toEqual([1, 2]);
    expect(cache.usedBytes).toBe(3 * 4 * 5 * 4);
  });

  it("refuses a full cache and takes nothing", () => {
    const cache = new PagedCache(referenceDevice(), { layers, capacity: 8, pageTokens: 4 });
    const sequence = cache.open();
    sequence.append(3);
    expect(codeOf(() => sequence.append(6))).toBe("CacheFull");
    expect(sequence.length).toBe(3);
    expect([...sequence.append(5)]).toEqual([3, 4, 5, 6, 7]);
  });

  it("gives pages back on truncate and release", () => {
    const cache = new PagedCache(referenceDevice(), { layers, capacity: 8, pageTokens: 4 });
    const sequence = cache.open();
    sequence.append(8);
    sequence.truncate(4);
    expect(cache.freeTokens).toBe(4);
    sequence.release();
    sequence.release();
    expect(cache.freeTokens).toBe(8);
    expect(codeOf(() => sequence.append(1))).toBe("SequenceReleased");
  });

  it.each([
    ["f32", 20],
    ["f16", 10],
    ["i8", 5 + 2 * 4],
  ] as const)("counts the bytes of rows kept as %s", (storage, bytes) => {
    const cache = new PagedCache(referenceDevice(), {
      layers,
      capacity: 8,
      pageTokens: 4,
      storage,
    });
    cache.open().append(5);
    expect(cache.bytesPerToken).toBe(bytes);
    expect(cache.usedBytes).toBe(8 * bytes);
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses a capacity of %s", (capacity) => {
    const device = referenceDevice();
    expect(codeOf(() => new PagedCache(device, { layers, capacity }))).toBe("InvalidArgument");
    expect(codeOf(() => new PagedCache(device, { layers, capacity: 1 }))).toBe("none");
  });

  it("keeps rows of many sequences apart, whatever the order of operations", async () => {
    const device = referenceDevice();
    const action = fc.record({ sequence: fc.nat(2), count: fc.integer({ min: -4, max: 5 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 25 }), async (actions) => {
        const cache = new PagedCache(device, { layers, capacity: 24, pageTokens: 4 });
        const model: number[][] = [[], [], []];
        const sequences = model.map(() => cache.open());
        let next = 1;
        for (const { sequence, count } of actions) {
          const rows = model[sequence];
          if (count < 0) {
            rows.splice(Math.max(0, rows.length + count));
            sequences[sequence].truncate(rows.length);
          } else if (count > 0 && roomFor(cache, sequences[sequence], count)) {
            const values = Array.from({ length: count }, () => next++);
            rows.push(...values);
            write(device, cache, sequences[sequence], values);
          }
        }
        for (const [index, rows] of model.entries()) {
          expect(await readBack(device, cache, sequences[index])).toEqual(rows);
        }
        cache.destroy();
      }),
      { numRuns: 50 },
    );
  });
});

function roomFor(cache: PagedCache, sequence: CacheSequence, count: number): boolean {
  const inLastPage = sequence.pages.length * cache.pageTokens - sequence.length;
  return count <= inLastPage + cache.freeTokens;
}

/** Appends one row `[value, value]` per value to layer 1. */
function write(
  device: ReturnType<typeof referenceDevice>,
  cache: PagedCache,
  sequence: CacheSequence,
  values: number[],
): void {
  const slots = sequence.append(values.length);
  const rows = Float32Array.from(values.flatMap((value) => [value, value]));
  device.writePages(cache.pool(1)[0], device.tensor(rows, [values.length, 2]), slots);
}

async function readBack(
  device: ReturnType<typeof referenceDevice>,
  cache: PagedCache,
  { length, pages }: CacheSequence,
): Promise<number[]> {
  const slots = Int32Array.from({ length }, (_, n) => pages[Math.floor(n / 4)] * 4 + (n % 4));
  if (length === 0) return [];
  const rows = await device.read(device.readPages(cache.pool(1)[0], slots));
  return Array.from({ length }, (_, n) => rows[2 * n]);
}
