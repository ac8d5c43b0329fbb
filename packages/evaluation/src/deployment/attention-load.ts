import {
  cachePlanes,
  type AttentionConfig,
  type GroupedAttentionConfig,
  type LatentAttentionConfig,
} from "@transmla/models";

/**
 * How attention is computed while decoding. Grouped attention knows one way. Latent attention is `absorbed` (queries meet latents),
 * or keys and values of every group are there: `restored` from the latents at each step, or cached `expanded`, as much as grouped
 * attention caches (GQLA, arXiv 2605.15250).
 */
export type DecodeWay = "grouped" | "absorbed" | "restored" | "expanded";

/**
 * What several devices share. `heads`: tensor parallelism; each device has some heads and, of latents, everything. `latent`: the latent is
 * cut as well (TPLA, arXiv 2508.15881). `sequences`: each device has whole sequences, and all of the attention's weights.
 */
export type Sharing = "heads" | "latent" | "sequences";

/** What one layer's attention is to one device. */
export interface AttentionLoad {
  /** Numbers per cached token, one width per plane. */
  readonly planes: readonly number[];
  /** Multiply-adds per query and cached token. */
  readonly perPair: number;
  /** Multiply-adds per query, for up-projections. */
  readonly perQuery: number;
  /** Multiply-adds, and numbers made and read again, per cached token at every step. */
  readonly perCached: number;
  readonly restored: number;
}

/** The ways of an attention. */
export function waysOf({ kind }: AttentionConfig): readonly DecodeWay[] {
  return kind === "gqa" ? ["grouped"] : ["absorbed", "restored", "expanded"];
}

/** The load of one of `devices` devices; heads that cannot be divided evenly count at the device that has most. */
export function attentionLoad(
  attention: AttentionConfig,
  way: DecodeWay,
  sharing: Sharing,
  devices: number,
): AttentionLoad {
  const parts = sharing === "sequences" ? 1 : devices;
  if (attention.kind === "gqa") return grouped(attention, parts);
  if (way === "absorbed") return absorbed(attention, sharing, parts);
  return way === "restored" ? restored(attention, parts) : expanded(attention, parts);
}

function grouped({ heads, kvHeads, headDim }: GroupedAttentionConfig, parts: number) {
  const width = Math.ceil(kvHeads / parts) * headDim;
  return load({ planes: [width, width], perPair: 2 * Math.ceil(heads / parts) * headDim });
}

function absorbed(attention: LatentAttentionConfig, sharing: Sharing, parts: number) {
  const { ropeDim, nopeDim, valueDim } = attention;
  const cut = sharing === "latent";
  const heads = cut ? attention.heads : Math.ceil(attention.heads / parts);
  const rank = cut ? Math.ceil(attention.kvLoraRank / parts) : attention.kvLoraRank;
  // Without position-free keys the latents are only mixed, not scored.
  const scored = ropeDim + (nopeDim > 0 ? rank : 0);
  return load({
    planes: ropeDim > 0 ? [rank, ropeDim] : [rank],
    perPair: heads * (scored + rank),
    perQuery: heads * rank * (nopeDim + valueDim),
  });
}

/** Keys and values of one device: numbers per cached token, and multiply-adds per query and cached token. */
function groups(attention: LatentAttentionConfig, parts: number) {
  const { heads, nopeDim, ropeDim, valueDim, keyUpHeads, valueUpHeads } = attention;
  return {
    keys: Math.ceil(keyUpHeads / parts) * nopeDim,
    values: Math.ceil(valueUpHeads / parts) * valueDim,
    perPair: Math.ceil(heads / parts) * (nopeDim + ropeDim + valueDim),
  };
}

function restored(attention: LatentAttentionConfig, parts: number) {
  const { keys, values, perPair } = groups(attention, parts);
  return load({
    planes: cachePlanes(attention).map(({ width }) => width),
    perPair,
    perCached: attention.kvLoraRank * (keys + values),
    restored: keys + values,
  });
}

function expanded(attention: LatentAttentionConfig, parts: number) {
  const { keys, values, perPair } = groups(attention, parts);
  return load({
    planes: [keys + attention.ropeDim, values],
    perPair,
    perQuery: attention.kvLoraRank * (keys + values),
  });
}

function load(
  parts: Pick<AttentionLoad, "planes" | "perPair"> & Partial<AttentionLoad>,
): AttentionLoad {
  return { perQuery: 0, perCached: 0, restored: 0, ...parts };
}
