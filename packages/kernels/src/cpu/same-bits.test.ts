import { setFlagsFromString } from "node:v8";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Random } from "../conformance/random";
import { randomTensor, randomWeight } from "../conformance/expectations";
import { cacheStorages } from "../cache-storage";
import type { AttentionSequence, Device, Tensor } from "../device";
import { weightStorages } from "../storage";
import { cpuDevice } from "./cpu-device";
import type { CpuDeviceOptions } from "./cpu-options";

/** The bits of a row do not depend on what else is in a batch, on pages, pieces, threads or the width of vectors: docs/decisions/0015-engine.md. */

const bits = async (device: Device, tensor: Tensor) =>
  new Int32Array((await device.read(tensor)).buffer);

/** The first place where two results differ, or -1. */
const difference = (actual: Int32Array, expected: Int32Array) =>
  actual.length === expected.length ? actual.findIndex((x, i) => x !== expected[i]) : 0;

/** With 256-bit vectors where the engine can join pairs of 128 bits: only its optimising compiler does. */
async function wideDevice(options: CpuDeviceOptions): Promise<Device> {
  const joins = process.arch === "x64" && Number.parseInt(process.versions.node, 10) >= 24;
  if (joins) setFlagsFromString("--experimental-wasm-revectorize");
  try {
    return await cpuDevice({ ...options, wideVectors: true });
  } finally {
    if (joins) setFlagsFromString("--no-experimental-wasm-revectorize");
  }
}

setFlagsFromString("--no-liftoff");
// Without the baseline compiler nothing tells which calls are worth it, and V8 14.6 (Node 26) aborts.
if (Number.parseInt(process.versions.node, 10) >= 24) setFlagsFromString("--no-wasm-inlining");
setFlagsFromString("--no-wasm-lazy-compilation");

describe.each(["simd128", "relaxed"] as const)("the same bits with %s", (simd) => {
  let one: Device;
  let two: Device;
  let wide: Device;
  beforeAll(async () => {
    one = await cpuDevice({ threads: 1, simd });
    // Before `two`: the engine keeps the code of a module, and theirs is the same.
    wide = await wideDevice({ threads: 2, simd });
    two = await cpuDevice({ threads: 2, simd });
  });
  afterAll(() => {
    one.destroy();
    two.destroy();
    wide.destroy();
  });

  describe.each(weightStorages)("products with %s weights", (storage) => {
    it.each([
      [70, 256],
      [40, 1280],
    ])("%i outputs of %i inputs", async (outputs, inputs) => {
      const results = await Promise.all(
        [one, two, wide].map(async (device) => {
          const random = new Random(5);
          const { weight } = randomWeight(device, random, [outputs, inputs], storage);
          const { values } = randomTensor(device, random, [130, inputs]);
          const bias = randomTensor(device, random, [1, outputs]).tensor;
          const rowsOf = (first: number, count: number) =>
            bits(
              device,
              device.linear(
                device.tensor(values.slice(first * inputs, (first + count) * inputs), [
                  count,
                  inputs,
                ]),
                weight,
                bias,
              ),
            );
          const all = await rowsOf(0, 130);
          for (const count of [1, 2, 3, 4, 5, 7, 8, 9, 14, 16, 67]) {
            for (const first of [0, 11, 63]) {
              const part = all.slice(first * outputs, (first + count) * outputs);
              expect(difference(await rowsOf(first, count), part)).toBe(-1);
            }
          }
          return all;
        }),
      );
      for (const result of results) expect(difference(result, results[0]!)).toBe(-1);
    });
  });

  describe.each(cacheStorages)("attention over %s rows", (storage) => {
    const LENGTH = 700;
    // The pages of the one sequence: of 8 and 64 tokens, one after the other and scattered.
    const layouts = [
      [64, 1, 0],
      [64, 7, 3],
      [8, 1, 2],
      [8, 37, 11],
    ] as const;

    /** A plane with the sequence's rows on pages `(step * n + first) % count`. */
    const plane = (
      device: Device,
      width: number,
      seed: number,
      layout: (typeof layouts)[number],
    ) => {
      const [pageTokens, step, first] = layout;
      const count = Math.ceil(LENGTH / pageTokens);
      const pages = Int32Array.from({ length: count }, (_, n) => (step * n + first) % (count + 5));
      const pool = device.pagePool({ pages: count + 5, pageTokens, width, storage });
      const slots = Int32Array.from(
        { length: LENGTH },
        (_, n) => pages[Math.floor(n / pageTokens)]! * pageTokens + (n % pageTokens),
      );
      const rows = randomTensor(device, new Random(seed), [LENGTH, width], 2).tensor;
      device.writePages(pool, rows, slots);
      return { pool, pages };
    };

    type Attend = (
      device: Device,
      layout: (typeof layouts)[number],
      random: Random,
    ) => (sequences: readonly AttentionSequence[], tokens: number, first: number) => Tensor;

    const grouped =
      (kvHeads: number, window: number | undefined, headDim = 16): Attend =>
      (device, layout, random) => {
        const [keys, values] = [
          plane(device, headDim * kvHeads, 1, layout),
          plane(device, 12 * kvHeads, 2, layout),
        ];
        const width = 6 * headDim;
        const { values: queries } = randomTensor(device, random, [LENGTH, width]);
        return (sequences, tokens, first) =>
          device.groupedAttention({
            query: device.tensor(queries.slice(width * first, width * (first + tokens)), [
              tokens,
              width,
            ]),
            keys: keys.pool,
            values: values.pool,
            heads: 6,
            kvHeads,
            scale: 0.3,
            window,
            sequences: sequences.map((sequence) => ({ ...sequence, pages: keys.pages })),
          });
      };

    const latent: Attend = (device, layout, random) => {
      // Neither width is a multiple of 4.
      const [latents, ropeKeys] = [plane(device, 42, 3, layout), plane(device, 10, 4, layout)];
      const nope = randomTensor(device, random, [LENGTH, 9 * 12]).values;
      const rope = randomTensor(device, random, [LENGTH, 9 * 10]).values;
      const keyUp = randomWeight(device, random, [3 * 12, 42], "bf16").weight;
      const valueUp = randomWeight(device, random, [9 * 10, 42], "i8").weight;
      return (sequences, tokens, first) =>
        device.latentAttention({
          queryNope: device.tensor(nope.slice(108 * first, 108 * (first + tokens)), [tokens, 108]),
          queryRope: device.tensor(rope.slice(90 * first, 90 * (first + tokens)), [tokens, 90]),
          latents: latents.pool,
          ropeKeys: ropeKeys.pool,
          keyUp,
          keyUpHeads: 3,
          valueUp,
          valueUpHeads: 9,
          heads: 9,
          scale: 0.3,
          way: "absorbed",
          sequences: sequences.map((sequence) => ({ ...sequence, pages: latents.pages })),
        });
    };

    it.each<[string, Attend]>([
      ["grouped", grouped(2, undefined)],
      ["with a window", grouped(3, 301)],
      ["over long rows", grouped(6, undefined, 50)],
      ["latent", latent],
    ])("%s", async (_, attend) => {
      const none = new Int32Array(0);
      let expected: Int32Array | undefined;
      for (const device of [one, two, wide]) {
        for (const layout of layouts) {
          const call = attend(device, layout, new Random(9));
          // All queries of the sequence at once.
          const whole = [{ queryStart: 0, queryCount: LENGTH, length: LENGTH, pages: none }];
          const all = await bits(device, call(whole, LENGTH, 0));
          expected ??= all;
          expect(difference(all, expected)).toBe(-1);
          const width = all.length / LENGTH;
          // In pieces: alone, and as a batch of two.
          for (const [first, count] of [
            [0, 1],
            [239, 1],
            [240, 2],
            [500, 3],
            [620, 80],
            [699, 1],
          ] as const) {
            const part = { queryStart: 0, queryCount: count, length: first + count, pages: none };
            const alone = await bits(device, call([part], count, first));
            expect(difference(alone, expected.slice(first * width, (first + count) * width))).toBe(
              -1,
            );
          }
          const batch = [
            { queryStart: 0, queryCount: 1, length: 601, pages: none },
            { queryStart: 1, queryCount: 5, length: 606, pages: none },
            { queryStart: 6, queryCount: 1, length: 607, pages: none },
          ];
          const several = await bits(device, call(batch, 7, 600));
          expect(difference(several, expected.slice(600 * width, 607 * width))).toBe(-1);
        }
      }
    });
  });
});
