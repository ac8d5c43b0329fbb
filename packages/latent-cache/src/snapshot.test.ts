import { cpuDevice, referenceDevice, type CacheStorage, type Device } from "@transmla/kernels";
import { bytesSource, openSafetensors } from "@transmla/tensor-io";
import { describe, expect, it } from "vitest";
import type { CacheSequence } from "./cache-sequence";
import { PagedCache } from "./paged-cache";
import { readSnapshot, saveSequence } from "./snapshot";

const planes = [
  { name: "latents", width: 6 },
  { name: "rope-keys", width: 4 },
];
const layers = [planes, [{ name: "latents", width: 3 }]];
const tokens = Int32Array.from({ length: 11 }, (_, i) => (7 * i) % 5);

function cacheOf(device: Device, storage: CacheStorage = "f32", pageTokens = 4): PagedCache {
  return new PagedCache(device, { layers, capacity: 24, pageTokens, storage });
}

/** A sequence of `tokens` with some row for each of them in every plane. */
function filled(cache: PagedCache): CacheSequence {
  const sequence = cache.open();
  const slots = sequence.append(tokens);
  cache.layers.forEach((layer, l) =>
    layer.forEach(({ width }, p) => {
      const rows = Float32Array.from({ length: 11 * width }, (_, i) =>
        Math.sin(i * (l + 2 * p + 1)),
      );
      cache.device.writePages(cache.pool(l)[p]!, cache.device.tensor(rows, [11, width]), slots);
    }),
  );
  return sequence;
}

/** Everything that a sequence's rows hold, as they are stored. */
async function contentOf(
  cache: PagedCache,
  { length, pages }: CacheSequence,
): Promise<Uint8Array[]> {
  const { pageTokens } = cache;
  const slots = Int32Array.from(
    { length },
    (_, n) => pages[Math.floor(n / pageTokens)]! * pageTokens + (n % pageTokens),
  );
  const pools = cache.layers.flatMap((_, layer) => cache.pool(layer));
  return Promise.all(pools.map((pool) => cache.device.readStoredPages(pool, slots)));
}

describe("snapshots", () => {
  it.each(["f32", "f16", "bf16", "i8"] as const)(
    "keep %s rows bit by bit, on other pages of another device",
    async (storage) => {
      const from = cacheOf(referenceDevice(), storage);
      const sequence = filled(from);
      const bytes = await saveSequence(from, sequence, "model");
      const cpu = await cpuDevice();
      const to = cacheOf(cpu, storage, 5);
      to.open().append(6);
      const { tokens: read, open } = await readSnapshot(to, bytes, "model");
      expect(read).toEqual(tokens);
      const restored = open();
      expect(restored.tokenIds).toEqual(tokens);
      expect(await contentOf(to, restored)).toEqual(await contentOf(from, sequence));
      // The same bytes again, whatever the device.
      expect(await saveSequence(to, restored, "model")).toEqual(bytes);
      cpu.destroy();
    },
  );

  it("are found as a prefix afterwards, and share what is there", async () => {
    const cache = cacheOf(referenceDevice());
    const bytes = await saveSequence(cache, filled(cache), "model");
    const other = cacheOf(referenceDevice());
    (await readSnapshot(other, bytes, "model")).open().release();
    expect(other.open(Int32Array.of(...tokens, 1)).length).toBe(11);
    const again = (await readSnapshot(other, bytes, "model")).open();
    expect([...again.pages]).toEqual([0, 1, 2]);
  });

  it("are safetensors files that say what they are", async () => {
    const cache = cacheOf(referenceDevice(), "bf16");
    const bytes = await saveSequence(cache, filled(cache), "model");
    const { metadata, tensors } = await openSafetensors(bytesSource(bytes));
    expect(Object.fromEntries(metadata)).toMatchObject({
      format: "transmla-cache",
      version: "1",
      fingerprint: "model",
    });
    expect(metadata.get("sha256")).toMatch(/^[0-9a-f]{64}$/);
    expect(
      Array.from(tensors.values(), ({ name, dtype, shape }) => [name, dtype, ...shape]),
    ).toEqual([
      ["tokens", "I32", 11],
      ["layers.0.latents", "BF16", 11, 6],
      ["layers.0.rope-keys", "BF16", 11, 4],
      ["layers.1.latents", "BF16", 11, 3],
    ]);
  });

  it("are refused when any byte was changed", async () => {
    const cache = cacheOf(referenceDevice(), "i8");
    const bytes = await saveSequence(cache, filled(cache), "model");
    const target = cacheOf(referenceDevice(), "i8");
    for (let at = 0; at < bytes.length; at++) {
      for (const bit of [1, 32, 128]) {
        const changed = bytes.slice();
        changed[at]! ^= bit;
        await expect(readSnapshot(target, changed, "model")).rejects.toMatchObject({
          code: expect.stringMatching(/^(InvalidSnapshot|SnapshotMismatch)$/),
        });
      }
    }
    for (const length of [0, 7, 100, bytes.length - 1]) {
      await expect(readSnapshot(target, bytes.slice(0, length), "model")).rejects.toMatchObject({
        code: "InvalidSnapshot",
      });
    }
    await readSnapshot(target, bytes, "model");
  });

  it("are refused by another model, another kind of cache and a full one", async () => {
    const cache = cacheOf(referenceDevice());
    const bytes = await saveSequence(cache, filled(cache), "model");
    const refused = (to: PagedCache, fingerprint: string) =>
      expect(readSnapshot(to, bytes, fingerprint)).rejects.toMatchObject({
        code: "SnapshotMismatch",
      });
    await refused(cache, "another");
    await refused(cacheOf(referenceDevice(), "f16"), "model");
    const device = referenceDevice();
    await refused(new PagedCache(device, { layers: [planes], capacity: 24 }), "model");
    await refused(new PagedCache(device, { layers: [...layers, planes], capacity: 24 }), "model");
    const small = new PagedCache(device, { layers, capacity: 8, pageTokens: 4 });
    const { open } = await readSnapshot(small, bytes, "model");
    expect(open).toThrow(expect.objectContaining({ code: "CacheFull" }));
    expect(small.freeTokens).toBe(8);
  });

  it("need tokens", async () => {
    const cache = cacheOf(referenceDevice());
    await expect(saveSequence(cache, cache.open(), "model")).rejects.toMatchObject({
      code: "InvalidArgument",
    });
    const nameless = cache.open();
    nameless.append(3);
    await expect(saveSequence(cache, nameless, "model")).rejects.toMatchObject({
      code: "UnknownTokens",
    });
  });
});
