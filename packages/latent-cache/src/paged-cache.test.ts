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

  it("takes as many pages as fit into a number of bytes", () => {
    const device = referenceDevice();
    const bytes = 3 * 4 * 5 * 4 + 79;
    expect(new PagedCache(device, { layers, bytes, pageTokens: 4 }).capacity).toBe(12);
    const options = { layers, pageTokens: 4 };
    expect(codeOf(() => new PagedCache(device, { ...options, bytes: 79 }))).toBe("InvalidArgument");
    expect(codeOf(() => new PagedCache(device, { ...options, bytes: 80 }))).toBe("none");
    expect(codeOf(() => new PagedCache(device, options))).toBe("InvalidArgument");
    expect(codeOf(() => new PagedCache(device, { ...options, bytes, capacity: 4 }))).toBe(
      "InvalidArgument",
    );
  });

  it("takes memory once, however long sequences become", () => {
    const device = referenceDevice();
    const calls: string[] = [];
    const recorded = new Proxy(device, {
      get(target, name) {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== "function") return member;
        return (...values: unknown[]) => {
          calls.push(String(name));
          return member.apply(target, values) as unknown;
        };
      },
    });
    const cache = new PagedCache(recorded, { layers, capacity: 400, pageTokens: 4 });
    expect(calls).toEqual(["pagePool", "pagePool"]);
    const sequence = cache.open();
    for (let token = 0; token < 198; token++) sequence.append(Int32Array.of(token));
    const fork = sequence.fork();
    fork.append(Int32Array.of(1));
    fork.release();
    sequence.release();
    // The fork's copy of the last page, in both layers.
    expect(calls.slice(2)).toEqual(["copyPages", "copyPages"]);
  });

  it("keeps planes in storages of their own", () => {
    const planes = [
      { name: "latents", width: 64 },
      { name: "rope-keys", width: 32 },
    ];
    const storage = { latents: "i8", "rope-keys": "bf16" } as const;
    const cache = new PagedCache(referenceDevice(), { layers: [planes], capacity: 8, storage });
    expect(cache.pool(0).map((pool) => pool.storage)).toEqual(["i8", "bf16"]);
    expect(cache.bytesPerToken).toBe(64 + 4 + 2 * 32);
    const mixed = { latents: "f16" } as const;
    const other = new PagedCache(referenceDevice(), { layers, capacity: 8, storage: mixed });
    expect(other.bytesPerToken).toBe(2 * 5);
  });
});

describe("sequences that share pages", () => {
  const ids = (...tokens: number[]) => Int32Array.from(tokens);
  const cacheOf = (capacity: number) =>
    new PagedCache(referenceDevice(), { layers, capacity, pageTokens: 4 });

  it("finds whole pages of the living and all tokens of the released", () => {
    const cache = cacheOf(40);
    const first = cache.open();
    first.append(ids(1, 2, 3, 4, 5, 6));
    first.append(ids(7));
    const second = cache.open(ids(1, 2, 3, 4, 5, 6, 7));
    // Page 0 is whole; the other one still grows.
    expect([second.length, ...second.pages]).toEqual([4, 0]);
    first.release();
    const third = cache.open(ids(1, 2, 3, 4, 5, 6, 8, 9));
    expect([third.length, ...third.pages]).toEqual([6, 0, 1]);
    expect(cache.open(ids(2, 2, 3, 4)).length).toBe(0);
  });

  it("takes a prefix for what it is behind other tokens", () => {
    const cache = cacheOf(40);
    const first = cache.open();
    first.append(ids(1, 2, 3, 4, 5, 6, 7, 8));
    first.release();
    expect(cache.open(ids(5, 6, 7, 8)).length).toBe(0);
    expect(cache.open(ids(1, 2, 3, 4, 5, 6, 7, 8, 9)).length).toBe(8);
  });

  it("does not offer rows of a step that failed", () => {
    const cache = cacheOf(40);
    const sequence = cache.open();
    sequence.append(ids(1, 2, 3, 4));
    sequence.truncate(0);
    sequence.release();
    expect(cache.open(ids(1, 2, 3, 4)).length).toBe(0);
  });

  it("evicts the least recently used, and of one sequence its end first", () => {
    const cache = cacheOf(16);
    const leave = (tokens: Int32Array) => {
      const sequence = cache.open(tokens);
      sequence.append(tokens.subarray(sequence.length));
      sequence.release();
    };
    const long = ids(1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    leave(long);
    leave(ids(9, 9, 9, 9));
    expect(cache.keptTokens).toBe(16);
    leave(ids(8, 8, 8, 8));
    expect(cache.open(long).length).toBe(8);
    expect(cache.open(ids(9, 9, 9, 9)).length).toBe(4);
  });

  it("copies a shared page when one of two sequences writes to it", async () => {
    const cache = cacheOf(12);
    const first = cache.open();
    writeTokens(cache, first, [1, 2]);
    const second = first.fork();
    expect([first.sharesLastPage, second.sharesLastPage]).toEqual([true, true]);
    writeTokens(cache, second, [3]);
    writeTokens(cache, first, [4, 5]);
    expect([...first.pages, ...second.pages]).toEqual([0, 1]);
    expect(await readBack(cache, first)).toEqual(rowsOf([1, 2, 4, 5]));
    expect(await readBack(cache, second)).toEqual(rowsOf([1, 2, 3]));
    expect(first.tokenIds).toEqual(ids(1, 2, 4, 5));
  });

  it("knows after a truncation what stands before the tokens that follow", () => {
    const cache = cacheOf(40);
    const sequence = cache.open();
    sequence.append(ids(1, 2, 3, 4, 5, 6, 7, 8));
    sequence.append(ids(9));
    sequence.truncate(2);
    sequence.append(ids(9, 9, 5, 5, 5, 5, 6, 6, 6, 6));
    sequence.release();
    expect(cache.open(ids(1, 2, 9, 9, 5, 5, 5, 5, 6, 6, 6, 6)).length).toBe(12);
    expect(cache.open(ids(1, 2, 3, 4, 5, 6, 7, 8, 6, 6, 6, 6)).length).toBe(8);
  });

  it("no longer offers a page that has to be written over for want of another", () => {
    const cache = cacheOf(8);
    const [sequence, other] = [cache.open(), cache.open()];
    sequence.append(ids(1, 2, 3, 4));
    sequence.truncate(2);
    sequence.append(ids(3, 4));
    sequence.truncate(4);
    other.append(ids(7));
    const found = cache.open(ids(1, 2, 3, 4));
    expect(found.length).toBe(4);
    found.release();
    sequence.truncate(2);
    sequence.append(ids(5));
    expect(cache.open(ids(1, 2, 3, 4)).length).toBe(0);
  });

  it("leaves tokens without ids out", () => {
    const cache = cacheOf(40);
    const sequence = cache.open();
    sequence.append(ids(1, 2, 3, 4));
    sequence.append(1);
    expect(codeOf(() => sequence.tokenIds)).toBe("UnknownTokens");
    const copy = sequence.fork();
    expect([copy.length, ...copy.append(ids(5, 6))]).toEqual([5, 9, 10]);
    sequence.release();
    copy.release();
    expect(cache.open(ids(1, 2, 3, 4, 5)).length).toBe(4);
    expect(cache.freeTokens).toBe(36);
  });

  it("discards whole pages from the middle and leaves others theirs", async () => {
    const cache = cacheOf(48);
    const first = cache.open();
    writeTokens(cache, first, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const fork = first.fork();
    const rows = rowsOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(codeOf(() => first.discard(2, 4))).toBe("InvalidArgument");
    expect(codeOf(() => first.discard(4, 8))).toBe("InvalidArgument");
    first.discard(4, 4);
    expect(await readBack(cache, first)).toEqual([...rows.slice(0, 4), ...rows.slice(8)]);
    expect(await readBack(cache, fork)).toEqual(rows);
    // The page behind is a copy: what is written to it is nobody else's.
    expect(first.pages[1]).not.toBe(fork.pages[2]);
    expect([first.ownPages, fork.ownPages]).toEqual([1, 2]);
    expect(codeOf(() => first.tokenIds)).toBe("UnknownTokens");
    first.release();
    fork.release();
    expect(cache.open(ids(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)).length).toBe(10);
    expect(cache.open(ids(1, 2, 3, 4, 9, 10)).length).toBe(4);
  });

  it("no longer offers a page behind discarded ones", () => {
    const cache = cacheOf(48);
    const sequence = cache.open();
    sequence.append(ids(1, 2, 3, 4, 5, 6, 7, 8));
    sequence.discard(0, 4);
    expect(cache.open(ids(1, 2, 3, 4, 5, 6, 7, 8)).length).toBe(4);
  });

  it("holds what arrays hold, whatever the order of operations", async () => {
    const added = fc.array(fc.nat(1), { minLength: 1, maxLength: 9 });
    const part = fc.double({ min: 0, max: 1, noNaN: true });
    const kind = fc.constantFrom("append", "append", "truncate", "fork", "release", "open", "open");
    const action = fc.record({ kind, at: fc.nat(9), part, tokens: added });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const cache = cacheOf(36);
        const living: { sequence: CacheSequence; tokens: number[] }[] = [];
        const past: number[][] = [[]];
        for (const step of actions) {
          const at = living[step.at % Math.max(1, living.length)];
          if (at) past.push([...at.tokens]);
          if (step.kind === "open") {
            const known = past[Math.floor(step.part * (past.length - 1))];
            const wanted = [...known, ...step.tokens];
            const sequence = cache.open(ids(...wanted));
            living.push({ sequence, tokens: wanted.slice(0, sequence.length) });
          } else if (!at) {
            continue;
          } else if (step.kind === "append") {
            const before = cache.freeTokens;
            if (codeOf(() => writeTokens(cache, at.sequence, step.tokens)) === "none") {
              at.tokens.push(...step.tokens);
            } else expect(cache.freeTokens).toBe(before);
          } else if (step.kind === "truncate") {
            at.tokens.length = Math.floor(step.part * at.tokens.length);
            at.sequence.truncate(at.tokens.length);
          } else if (step.kind === "fork") {
            living.push({ sequence: at.sequence.fork(), tokens: [...at.tokens] });
          } else {
            at.sequence.release();
            living.splice(living.indexOf(at), 1);
          }
          for (const { sequence, tokens } of living) {
            expect(await readBack(cache, sequence)).toEqual(rowsOf(tokens));
          }
          const held = new Set(living.flatMap(({ sequence }) => [...sequence.pages]));
          expect(cache.freeTokens).toBe(36 - 4 * held.size);
        }
        cache.destroy();
      }),
      { numRuns: 200 },
    );
  });
});

/** What stands for a token in the cache: a number that depends on all tokens before it, as keys and values do. */
function rowsOf(tokens: readonly number[]): number[] {
  let state = 7;
  return tokens.map((token) => (state = (31 * state + token + 1) % 65_521));
}

/** Appends tokens and writes their rows `[value, value]` to layer 1. */
function writeTokens(cache: PagedCache, sequence: CacheSequence, tokens: readonly number[]): void {
  const all = [...sequence.tokenIds, ...tokens];
  const slots = sequence.append(Int32Array.from(tokens));
  const values = rowsOf(all).slice(-tokens.length);
  const rows = Float32Array.from(values.flatMap((value) => [value, value]));
  cache.device.writePages(cache.pool(1)[0], cache.device.tensor(rows, [values.length, 2]), slots);
}

async function readBack(cache: PagedCache, { length, pages }: CacheSequence): Promise<number[]> {
  const slots = Int32Array.from({ length }, (_, n) => pages[Math.floor(n / 4)] * 4 + (n % 4));
  if (length === 0) return [];
  const rows = await cache.device.read(cache.device.readPages(cache.pool(1)[0], slots));
  return Array.from({ length }, (_, n) => rows[2 * n]);
}
