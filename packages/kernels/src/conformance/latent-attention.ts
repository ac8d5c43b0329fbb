import { test } from "vitest";
import type {
  AttentionWay,
  Device,
  LatentAttention,
  Tensor,
  Weight,
  WeightStorage,
} from "../device";
import {
  expectClose,
  randomTensor,
  randomWeight,
  soil,
  tensorOf,
  type Subject,
} from "./expectations";
import { Random } from "./random";
import { attend, Batch, range } from "./sequences";

/** Sizes of a latent attention. Without `keyUpHeads` queries are latent; without `nopeDim` there are none. */
interface Case {
  readonly title: string;
  readonly heads: number;
  readonly rank: number;
  readonly nopeDim?: number;
  readonly ropeDim?: number;
  readonly keyUpHeads?: number;
  readonly valueDim?: number;
  readonly valueUpHeads?: number;
  readonly pageTokens?: number;
  readonly window?: number;
  readonly softCap?: number;
  readonly amplitude?: number;
  readonly storage?: WeightStorage;
  readonly parts: readonly (readonly [queries: number, length: number])[];
}

const mixed = [
  [1, 20],
  [17, 17],
  [3, 33],
] as const;

const full = { nopeDim: 16, ropeDim: 8, keyUpHeads: 4, valueDim: 16, valueUpHeads: 4 } as const;

const cases: readonly Case[] = [
  { title: "one up-projection per head", heads: 4, rank: 24, ...full, parts: mixed },
  { title: "bf16 up-projections", heads: 4, rank: 24, ...full, storage: "bf16", parts: mixed },
  { title: "f16 up-projections", heads: 4, rank: 24, ...full, storage: "f16", parts: mixed },
  {
    title: "shared up-projections, different for keys and values",
    heads: 6,
    rank: 20,
    nopeDim: 12,
    ropeDim: 4,
    keyUpHeads: 2,
    valueDim: 8,
    valueUpHeads: 3,
    parts: mixed,
  },
  {
    title: "odd sizes",
    heads: 3,
    rank: 17,
    nopeDim: 5,
    ropeDim: 3,
    keyUpHeads: 3,
    valueDim: 33,
    valueUpHeads: 1,
    pageTokens: 3,
    parts: mixed,
  },
  {
    title: "everything of size 1",
    heads: 1,
    rank: 1,
    nopeDim: 1,
    ropeDim: 1,
    keyUpHeads: 1,
    parts: [[1, 1]],
  },
  {
    title: "no keyUp: queries are latent",
    heads: 3,
    rank: 20,
    nopeDim: 20,
    ropeDim: 8,
    valueDim: 9,
    valueUpHeads: 3,
    parts: mixed,
  },
  {
    title: "no valueUp: mixed latents",
    heads: 3,
    rank: 20,
    nopeDim: 9,
    ropeDim: 8,
    keyUpHeads: 1,
    parts: mixed,
  },
  { title: "neither up-projection", heads: 2, rank: 33, nopeDim: 33, ropeDim: 6, parts: mixed },
  {
    title: "no rotated part",
    heads: 4,
    rank: 24,
    nopeDim: 16,
    keyUpHeads: 4,
    valueDim: 16,
    valueUpHeads: 2,
    parts: mixed,
  },
  {
    title: "only a rotated part",
    heads: 4,
    rank: 24,
    ropeDim: 16,
    valueDim: 16,
    valueUpHeads: 4,
    parts: mixed,
  },
  { title: "window of 5", heads: 4, rank: 24, ...full, window: 5, parts: mixed },
  { title: "soft cap of 2", heads: 4, rank: 24, ...full, softCap: 2, amplitude: 3, parts: mixed },
  {
    title: "soft cap of 3, one latent for keys and values",
    heads: 3,
    rank: 20,
    nopeDim: 20,
    ropeDim: 8,
    softCap: 3,
    window: 40,
    pageTokens: 64,
    parts: [[2, 130]],
  },
  { title: "logits of ±10,000", heads: 4, rank: 24, ...full, amplitude: 100, parts: mixed },
  {
    title: "decode, all heads at once",
    heads: 9,
    rank: 128,
    ...full,
    keyUpHeads: 3,
    valueUpHeads: 9,
    pageTokens: 64,
    parts: [
      [1, 300],
      [1, 64],
      [1, 65],
    ],
  },
  {
    title: "70 heads",
    heads: 70,
    rank: 12,
    nopeDim: 4,
    ropeDim: 4,
    keyUpHeads: 35,
    valueDim: 4,
    valueUpHeads: 14,
    parts: [
      [1, 20],
      [2, 9],
    ],
  },
  {
    title: "long prefill after cache",
    heads: 2,
    rank: 40,
    ...full,
    keyUpHeads: 2,
    valueUpHeads: 2,
    pageTokens: 16,
    parts: [[140, 290]],
  },
  // Every remainder of heads and widths in tiles, over rows that follow each other.
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((heads) => ({
    title: `neighbouring rows, ${heads} heads`,
    heads,
    rank: 20 + heads,
    nopeDim: 20 + heads,
    ropeDim: heads,
    pageTokens: 256,
    parts: [
      [1, 250 + heads],
      [2, 60 + heads],
    ] as const,
  })),
];

const ways: readonly AttentionWay[] = ["absorbed", "expanded", "auto"];

export function latentAttentionTests(subject: Subject): void {
  for (const [index, c] of cases.entries()) {
    test(c.title, () => compare(subject, c, new Random(200 + index)));
  }
  test("exact construction: grouped attention as latent attention", () =>
    exactConstruction(subject));
  test("rows of no sequence are zero", () => uncoveredRows(subject));
  test("up-projections rewritten after use", () => rewrittenUp(subject));
}

/** All three ways against attention with explicit keys `[U_k c ; r]` and values `U_v c` of every head. */
async function compare(subject: Subject, c: Case, random: Random): Promise<void> {
  const { device } = subject;
  const { input, expected, shape } = build(device, c, random);
  for (const way of ways) {
    await expectClose(subject, device.latentAttention({ ...input, way }), shape, expected);
  }
}

function build(device: Device, c: Case, random: Random) {
  const { heads, rank, nopeDim = 0, ropeDim = 0, amplitude } = c;
  const valueDim = c.valueUpHeads ? (c.valueDim ?? rank) : rank;
  const batch = new Batch(random, c.pageTokens ?? 8, c.parts);
  const latents = batch.plane(device, random, rank);
  const ropeKeys = ropeDim ? batch.plane(device, random, ropeDim, amplitude) : undefined;
  const part = (width: number) =>
    width ? randomTensor(device, random, [batch.tokens, heads * width], amplitude) : undefined;
  const nope = part(nopeDim);
  const rope = part(ropeDim);
  const up = (upHeads: number | undefined, width: number) =>
    upHeads ? randomWeight(device, random, [upHeads * width, rank], c.storage) : undefined;
  const keyUp = up(c.keyUpHeads, nopeDim);
  const valueUp = up(c.valueUpHeads, valueDim);
  const scale = 1 / Math.sqrt(nopeDim + ropeDim);

  const expected = new Float64Array(batch.tokens * heads * valueDim);
  batch.forEachQuery(c.window, ({ sequence, row, first, last }) => {
    for (let head = 0; head < heads; head++) {
      const at = row * heads + head;
      const query = [
        ...(nope?.values.subarray(at * nopeDim, (at + 1) * nopeDim) ?? []),
        ...(rope?.values.subarray(at * ropeDim, (at + 1) * ropeDim) ?? []),
      ];
      const keyBlock = upBlock(keyUp?.values, head, heads, c.keyUpHeads, nopeDim * rank);
      const valueBlock = upBlock(valueUp?.values, head, heads, c.valueUpHeads, valueDim * rank);
      const keys = range(first, last, (n) => [
        ...(nope ? project(keyBlock, latents.row(sequence, n)) : []),
        ...(ropeKeys?.row(sequence, n) ?? []),
      ]);
      const values = range(first, last, (n) => project(valueBlock, latents.row(sequence, n)));
      expected.set(attend(query, keys, values, scale, c.softCap), at * valueDim);
    }
  });

  const input: LatentAttention = {
    queryNope: nope?.tensor,
    queryRope: rope?.tensor,
    latents: latents.pool,
    ropeKeys: ropeKeys?.pool,
    keyUp: keyUp?.weight,
    keyUpHeads: c.keyUpHeads,
    valueUp: valueUp?.weight,
    valueUpHeads: c.valueUpHeads,
    heads,
    scale,
    window: c.window,
    softCap: c.softCap,
    sequences: batch.sequences,
  };
  return { input, expected, shape: [batch.tokens, heads * valueDim] as const };
}

function upBlock(
  up: Float32Array | undefined,
  head: number,
  heads: number,
  upHeads: number | undefined,
  size: number,
): Float32Array | undefined {
  if (!up || !upHeads) return undefined;
  const block = Math.floor((head * upHeads) / heads);
  return up.subarray(block * size, (block + 1) * size);
}

/** `U c`, or `c` itself without `U`. */
function project(up: Float32Array | undefined, latent: Float32Array): Float64Array {
  if (!up) return Float64Array.from(latent);
  const rank = latent.length;
  return Float64Array.from({ length: up.length / rank }, (_, i) => {
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += up[i * rank + k]! * latent[k]!;
    return sum;
  });
}

/**
 * Every grouped layer is a latent layer of the same cache: latent = all values, shared rotated key = all keys, the query
 * of head `i` in block `a(i)` and zero elsewhere, value up-projection of key/value head `a` = block `a` of the identity.
 */
async function exactConstruction(subject: Subject): Promise<void> {
  const { device } = subject;
  const random = new Random(300);
  const [heads, kvHeads, headDim] = [6, 3, 8];
  const width = kvHeads * headDim;
  const batch = new Batch(random, 8, mixed);
  const keys = batch.plane(device, random, width).pool;
  const values = batch.plane(device, random, width).pool;
  const q = randomTensor(device, random, [batch.tokens, heads * headDim]);
  const common = { heads, scale: 1 / Math.sqrt(headDim), sequences: batch.sequences };
  const grouped = device.groupedAttention({ query: q.tensor, keys, values, kvHeads, ...common });

  const placed = new Float32Array(batch.tokens * heads * width);
  for (let at = 0; at < batch.tokens * heads; at++) {
    const kvHead = Math.floor(((at % heads) * kvHeads) / heads);
    placed.set(q.values.subarray(at * headDim, (at + 1) * headDim), at * width + kvHead * headDim);
  }
  const input: LatentAttention = {
    queryRope: device.tensor(placed, [batch.tokens, heads * width]),
    latents: values,
    ropeKeys: keys,
    valueUp: identity(device, width),
    valueUpHeads: kvHeads,
    ...common,
  };
  const expected = await device.read(grouped);
  for (const way of ways) {
    const latent: Tensor = device.latentAttention({ ...input, way });
    await expectClose(subject, latent, grouped.shape, expected);
  }
}

function identity(device: Device, size: number): Weight {
  const values = new Float32Array(size * size);
  for (let i = 0; i < size; i++) values[i * size + i] = 1;
  const weight = device.weight([size, size], "f32");
  device.writeRows(weight, 0, new Uint8Array(values.buffer));
  return weight;
}

async function uncoveredRows(subject: Subject): Promise<void> {
  const { device } = subject;
  const latents = device.pagePool({ pages: 1, pageTokens: 2, width: 3 });
  device.writePages(latents, tensorOf(device, [[1, 2, 3]]), Int32Array.of(0));
  const queryNope = randomTensor(device, new Random(1), [3, 3]).tensor;
  const sequences = [{ queryStart: 1, queryCount: 1, length: 1, pages: Int32Array.of(0) }];
  for (const way of ways) {
    soil(device, [3, 3]);
    const y = device.latentAttention({ queryNope, latents, heads: 1, scale: 1, sequences, way });
    await expectClose(subject, y, [3, 3], [0, 0, 0, 1, 2, 3, 0, 0, 0]);
  }
}

/** Whatever a device derives from an up-projection must not outlive a rewrite of it. */
async function rewrittenUp(subject: Subject): Promise<void> {
  const { device } = subject;
  const c: Case = { title: "", heads: 4, rank: 24, ...full, parts: mixed };
  const { input } = build(device, c, new Random(301));
  for (const way of ways) device.latentAttention({ ...input, way });
  const other = build(device, c, new Random(302));
  const bytes = new Random(303).stored([64, 24], "f32").bytes;
  for (const weight of [input.keyUp!, input.valueUp!, other.input.keyUp!, other.input.valueUp!]) {
    device.writeRows(weight, 0, bytes);
  }
  const fresh = { ...input, keyUp: other.input.keyUp, valueUp: other.input.valueUp };
  for (const way of ways) {
    const expected = await device.read(device.latentAttention({ ...fresh, way }));
    const y = device.latentAttention({ ...input, way });
    await expectClose(subject, y, y.shape, expected);
  }
}
