import { test } from "vitest";
import { expectClose, randomTensor, soil, tensorOf, type Subject } from "./expectations";
import { Random } from "./random";
import { attend, Batch, range } from "./sequences";

interface Case {
  readonly title: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueDim?: number;
  readonly pageTokens?: number;
  readonly window?: number;
  readonly softCap?: number;
  readonly amplitude?: number;
  readonly parts: readonly (readonly [queries: number, length: number])[];
}

const prompts = [
  [1, 1],
  [17, 17],
] as const;

const cases: readonly Case[] = [
  { title: "one query, one row", heads: 1, kvHeads: 1, headDim: 1, parts: [[1, 1]] },
  { title: "multi-head", heads: 3, kvHeads: 3, headDim: 16, parts: prompts },
  { title: "multi-query", heads: 5, kvHeads: 1, headDim: 12, parts: prompts },
  { title: "grouped, odd sizes", heads: 6, kvHeads: 2, headDim: 17, valueDim: 33, parts: prompts },
  { title: "narrow heads", heads: 4, kvHeads: 2, headDim: 3, valueDim: 1, parts: [[5, 9]] },
  {
    title: "decode of several sequences",
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    parts: [
      [1, 70],
      [1, 8],
      [1, 9],
      [1, 300],
    ],
  },
  {
    title: "prefill continued, mixed with decode",
    heads: 4,
    kvHeads: 2,
    headDim: 8,
    parts: [
      [3, 20],
      [1, 33],
      [65, 70],
      [2, 16],
    ],
  },
  { title: "long prefill", heads: 2, kvHeads: 1, headDim: 20, pageTokens: 16, parts: [[150, 290]] },
  { title: "pages of one row", heads: 2, kvHeads: 1, headDim: 4, pageTokens: 1, parts: [[3, 7]] },
  { title: "pages of 5 rows", heads: 2, kvHeads: 2, headDim: 5, pageTokens: 5, parts: [[11, 23]] },
  {
    title: "wide rows",
    heads: 18,
    kvHeads: 9,
    headDim: 130,
    valueDim: 20,
    pageTokens: 64,
    parts: [
      [1, 150],
      [2, 70],
      [30, 140],
    ],
  },
  { title: "70 heads, one key", heads: 70, kvHeads: 1, headDim: 4, parts: [[3, 20]] },
  { title: "window of 1", heads: 2, kvHeads: 1, headDim: 8, window: 1, parts: [[5, 9]] },
  {
    title: "window of 7",
    heads: 4,
    kvHeads: 2,
    headDim: 8,
    window: 7,
    parts: [
      [40, 40],
      [1, 35],
      [4, 12],
    ],
  },
  {
    title: "window beyond the length",
    heads: 2,
    kvHeads: 1,
    headDim: 8,
    window: 99,
    parts: [[9, 20]],
  },
  {
    title: "soft cap of 2",
    heads: 6,
    kvHeads: 3,
    headDim: 9,
    softCap: 2,
    amplitude: 3,
    parts: [
      [1, 150],
      [21, 30],
    ],
  },
  {
    title: "soft cap of 50, window of 7, small logits",
    heads: 4,
    kvHeads: 2,
    headDim: 8,
    window: 7,
    softCap: 50,
    parts: [
      [40, 40],
      [1, 35],
    ],
  },
  {
    title: "soft cap of 50 on logits of ±10,000",
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    softCap: 50,
    amplitude: 60,
    parts: [
      [9, 30],
      [1, 40],
    ],
  },
  {
    title: "logits of ±10,000",
    heads: 4,
    kvHeads: 2,
    headDim: 16,
    amplitude: 60,
    parts: [
      [9, 30],
      [1, 40],
    ],
  },
];

export function groupedAttentionTests(subject: Subject): void {
  test("known answer: two rows, equal and unequal logits", async () => {
    const { device } = subject;
    const keys = device.pagePool({ pages: 1, pageTokens: 2, width: 1 });
    const values = device.pagePool({ pages: 1, pageTokens: 2, width: 2 });
    device.writePages(keys, tensorOf(device, [[0], [Math.log(3)]]), Int32Array.of(0, 1));
    const rows = tensorOf(device, [
      [4, 0],
      [8, 4],
    ]);
    device.writePages(values, rows, Int32Array.of(0, 1));
    const y = device.groupedAttention({
      query: tensorOf(device, [[0, 2]]),
      keys,
      values,
      heads: 2,
      kvHeads: 1,
      scale: 0.5,
      sequences: [{ queryStart: 0, queryCount: 1, length: 2, pages: Int32Array.of(0) }],
    });
    // Head 0: weights 1/2, 1/2. Head 1: logits 0 and ln 3, weights 1/4, 3/4.
    await expectClose(subject, y, [1, 4], [6, 2, 7, 3]);
  });

  test("rows of no sequence are zero", async () => {
    const { device } = subject;
    const keys = device.pagePool({ pages: 1, pageTokens: 2, width: 3 });
    const values = device.pagePool({ pages: 1, pageTokens: 2, width: 3 });
    device.writePages(values, tensorOf(device, [[1, 2, 3]]), Int32Array.of(0));
    const query = randomTensor(device, new Random(1), [3, 3]).tensor;
    const sequences = [{ queryStart: 1, queryCount: 1, length: 1, pages: Int32Array.of(0) }];
    soil(device, [3, 3]);
    const common = { heads: 1, scale: 1, sequences };
    const y = device.groupedAttention({ query, keys, values, kvHeads: 1, ...common });
    await expectClose(subject, y, [3, 3], [0, 0, 0, 1, 2, 3, 0, 0, 0]);
  });

  for (const [index, c] of cases.entries()) {
    test(c.title, () => compare(subject, c, new Random(100 + index)));
  }
}

async function compare(subject: Subject, c: Case, random: Random): Promise<void> {
  const { device } = subject;
  const { heads, kvHeads, headDim, window, softCap } = c;
  const valueDim = c.valueDim ?? headDim;
  const scale = 1 / Math.sqrt(headDim);
  const batch = new Batch(random, c.pageTokens ?? 8, c.parts);
  const keys = batch.plane(device, random, kvHeads * headDim, c.amplitude);
  const values = batch.plane(device, random, kvHeads * valueDim);
  const q = randomTensor(device, random, [batch.tokens, heads * headDim], c.amplitude);

  const expected = new Float64Array(batch.tokens * heads * valueDim);
  batch.forEachQuery(window, ({ sequence, row, first, last }) => {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const cut = (x: Float32Array, width: number) =>
        x.subarray(kvHead * width, (kvHead + 1) * width);
      const start = (row * heads + head) * headDim;
      const output = attend(
        q.values.subarray(start, start + headDim),
        range(first, last, (n) => cut(keys.row(sequence, n), headDim)),
        range(first, last, (n) => cut(values.row(sequence, n), valueDim)),
        scale,
        softCap,
      );
      expected.set(output, (row * heads + head) * valueDim);
    }
  });

  const y = device.groupedAttention({
    query: q.tensor,
    keys: keys.pool,
    values: values.pool,
    heads,
    kvHeads,
    scale,
    window,
    softCap,
    sequences: batch.sequences,
  });
  await expectClose(subject, y, [batch.tokens, heads * valueDim], expected);
}
