import type { Device, Tensor, Weight } from "@transmla/kernels";
import type { GroupedWeights } from "@transmla/conversion";
import type { Matrix } from "@transmla/low-rank";
import type { GroupedAttentionConfig } from "@transmla/models";

/** A small attention whose weights are drawn at random, run as GQA and as the MLA that `exactLatent` makes of it. */
export const tokens = 12;
const hidden = 48;
/** Sizes of a latent attention with the same cache, whose up-projections are free. */
const free = { kvLoraRank: 24, ropeDim: 8 };
export const config: GroupedAttentionConfig = {
  kind: "gqa",
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  frequencies: Float64Array.from([1, 0.1, 0.01, 0.001]),
  scale: 1 / Math.sqrt(8),
  inputBias: false,
  outputBias: false,
};

export interface Comparison {
  /** `[tokens, heads * headDim]` */
  readonly grouped: Float32Array;
  readonly latent: Float32Array;
  readonly difference: number;
  readonly cached: { readonly grouped: number; readonly latent: number };
  /** Joint rank of the key maps of all heads, plus that of their value maps: of GQA, and of an MLA with free up-projections. */
  readonly ranks: { readonly grouped: number; readonly latent: number };
}

export async function compareExact(): Promise<Comparison> {
  const [{ referenceDevice, ropeTable }, { exactLatent }, lowRank, models] = await Promise.all([
    import("@transmla/kernels"),
    import("@transmla/conversion"),
    import("@transmla/low-rank"),
    import("@transmla/models"),
  ]);
  const device = referenceDevice();
  const plain = (rows: number, columns: number) =>
    lowRank.matrix(
      rows,
      columns,
      Float64Array.from({ length: rows * columns }, () => normal() / Math.sqrt(columns)),
    );
  /** With a last column for the bias, here of zeros: the form in which conversion takes weights. */
  const augmented = (rows: number, columns: number) => {
    const weight = plain(rows, columns + 1);
    for (let row = 1; row <= rows; row++) weight.data[row * (columns + 1) - 1] = 0;
    return weight;
  };
  const { heads, kvHeads, headDim } = config;
  const weights: GroupedWeights = {
    query: augmented(heads * headDim, hidden),
    key: augmented(kvHeads * headDim, hidden),
    value: augmented(kvHeads * headDim, hidden),
    output: augmented(hidden, heads * headDim),
  };
  const made = exactLatent(weights, config);
  const x = device.tensor(Float32Array.from({ length: tokens * hidden }, normal), [tokens, hidden]);
  const project = (weight: Matrix) => device.linear(x, upload(device, weight, hidden));
  const positions = Int32Array.from({ length: tokens }, (_, t) => t);
  const rotated = (weight: Matrix, frequencies: Float64Array) =>
    device.rope(project(weight), ropeTable(device, frequencies, tokens), positions);
  const pool = (rows: Tensor) => {
    const [count, width] = rows.shape;
    const plane = device.pagePool({ pages: 1, pageTokens: count, width });
    device.writePages(plane, rows, positions);
    return plane;
  };
  const sequences = [
    { queryStart: 0, queryCount: tokens, length: tokens, pages: Int32Array.of(0) },
  ];
  const grouped = await device.read(
    device.groupedAttention({
      query: rotated(weights.query, config.frequencies),
      keys: pool(rotated(weights.key, config.frequencies)),
      values: pool(project(weights.value)),
      heads,
      kvHeads,
      scale: config.scale,
      sequences,
    }),
  );
  const latent = await device.read(
    device.latentAttention({
      queryRope: rotated(made.queryRope!, made.config.frequencies),
      latents: pool(project(made.latent)),
      ropeKeys: pool(rotated(made.ropeKey!, made.config.frequencies)),
      valueUp: upload(device, made.valueUp, made.valueUp.columns),
      valueUpHeads: made.config.valueUpHeads,
      heads,
      scale: config.scale,
      sequences,
    }),
  );
  const rank = (m: Matrix) => {
    const { values } = lowRank.svd(m);
    return values.filter((value) => value > 1e-9 * values[0]!).length;
  };
  const stacked = (a: Matrix, b: Matrix) =>
    lowRank.matrix(a.rows + b.rows, a.columns, Float64Array.from([...a.data, ...b.data]));
  const freeLatent = plain(free.kvLoraRank, hidden);
  const freeUp = () => lowRank.multiply(plain(heads * headDim, free.kvLoraRank), freeLatent);
  const freeKeys = stacked(freeUp(), plain(free.ropeDim, hidden));
  const result = {
    grouped,
    latent,
    difference: Math.max(...grouped.map((value, i) => Math.abs(value - latent[i]!))),
    cached: {
      grouped: models.cacheNumbersPerToken(config),
      latent: models.cacheNumbersPerToken(made.config),
    },
    ranks: {
      grouped: rank(weights.key) + rank(weights.value),
      latent: rank(freeKeys) + rank(freeUp()),
    },
  };
  device.destroy();
  return result;
}

/** The first `columns` columns of a matrix, on the device. */
function upload(device: Device, { rows, columns: stride, data }: Matrix, columns: number): Weight {
  const weight = device.weight([rows, columns], "f32");
  const values = Float32Array.from(
    { length: rows * columns },
    (_, i) => data[Math.floor(i / columns) * stride + (i % columns)]!,
  );
  device.writeRows(weight, 0, new Uint8Array(values.buffer));
  return weight;
}

/** A standard normal number (Box-Muller). */
function normal(): number {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
