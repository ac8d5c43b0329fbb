import { convert, planConversion } from "@transmla/conversion";
import { referenceDevice } from "@transmla/kernels";
import { PagedCache, readSnapshot, saveSequence } from "@transmla/latent-cache";
import { openModel } from "@transmla/models";
import { memoryFolder } from "@transmla/tensor-io";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { counted } from "../tools/trust/counts";
import { patched, type Files } from "./attack";
import { verdictOf } from "./library";
import { whole } from "./model";

/** One byte of a file that becomes another, and how much of the file is kept. */
const change = (length: number) =>
  fc.record({
    at: fc.nat(length - 1),
    by: fc.integer({ min: 1, max: 255 }),
    keep: fc.oneof(
      { weight: 5, arbitrary: fc.constant(1) },
      fc.double({ min: 0, max: 0.999, noNaN: true }),
    ),
  });

const changed = (bytes: Uint8Array, { at, by, keep }: { at: number; by: number; keep: number }) =>
  patched(bytes, at, bytes[at]! ^ by).subarray(0, Math.floor(bytes.length * keep));

describe("a snapshot of a cache", () => {
  it("is refused with any byte changed, and taken as it was", async ({ task }) => {
    const makeCache = () =>
      new PagedCache(referenceDevice(), {
        layers: [
          [
            { name: "latents", width: 8 },
            { name: "rope-keys", width: 4 },
          ],
        ],
        capacity: 64,
        pageTokens: 8,
      });
    const cache = makeCache();
    const sequence = cache.open();
    sequence.append(Int32Array.from({ length: 20 }, (_, i) => i + 1));
    const file = await saveSequence(cache, sequence, "model");
    const verdict = (bytes: Uint8Array, model = "model") =>
      verdictOf(async () => (await readSnapshot(makeCache(), bytes, model)).open());

    expect(await verdict(file)).toBe("sound");
    expect(await verdict(file, "another model")).toBe("SnapshotMismatch");
    const numRuns = 2000;
    await fc.assert(
      fc.asyncProperty(change(file.length), async (how) => {
        expect(["InvalidSnapshot", "SnapshotMismatch"]).toContain(
          await verdict(changed(file, how)),
        );
      }),
      { numRuns, seed: 1 },
    );
    counted(task, { mutations: numRuns, files: 1 });
  });
});

describe("the layers of an interrupted conversion", () => {
  /** Converts into these files; stops after a layer where told to. */
  async function attempt(files: Map<string, Uint8Array>, stop: boolean): Promise<void> {
    const source = await openModel(memoryFolder(new Map(whole)));
    const controller = new AbortController();
    await convert(planConversion(source, { method: "exact" }), {
      device: referenceDevice(),
      output: memoryFolder(files, "output"),
      resume: !stop,
      resumable: true,
      signal: controller.signal,
      onProgress: ({ phase, done }) => {
        if (stop && phase === "converting" && done === 1) controller.abort(new Error("stopped"));
      },
    });
  }

  it("with any byte changed are converted again to the same bytes, or refused", async ({
    task,
  }) => {
    const expected = new Map<string, Uint8Array>();
    await attempt(expected, false);
    const stopped = new Map<string, Uint8Array>();
    await expect(attempt(stopped, true)).rejects.toThrow("stopped");
    const name = [...stopped.keys()].find((file) => file.startsWith(".transmla-layer"))!;
    const layer = stopped.get(name)!;
    const outcome = async (start: Files) => {
      const files = new Map(start);
      const verdict = await verdictOf(() => attempt(files, false));
      if (verdict === "sound") expect([...files].toSorted()).toEqual([...expected].toSorted());
      return verdict;
    };

    expect(await outcome(stopped)).toBe("sound");
    const header = new DataView(layer.buffer, layer.byteOffset).getUint32(0, true) + 8;
    const numRuns = 100;
    await fc.assert(
      // As often in the header, which says what the layer is, as in the weights.
      fc.asyncProperty(fc.oneof(change(header), change(layer.length)), async (how) => {
        const bad = new Map(stopped).set(name, changed(layer, how));
        expect(["sound", "ResumeMismatch"]).toContain(await outcome(bad));
      }),
      { numRuns, seed: 1 },
    );
    counted(task, { mutations: numRuns, files: 1 });
  });
});
