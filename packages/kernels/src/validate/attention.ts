import type {
  AttentionSequence,
  GroupedAttention,
  LatentAttention,
  PagePool,
  Tensor,
  Weight,
} from "../device";
import {
  ensure,
  ensureCount,
  ensureDivides,
  ensureIndices,
  ensureShape,
  ensureSize,
} from "./ensure";
import { checkSoftCap } from "./operations";

/** Sizes that a grouped attention implies. */
export interface GroupedSizes {
  readonly tokens: number;
  readonly headDim: number;
  readonly valueDim: number;
}

/** Sizes that a latent attention implies. `nopeDim` and `ropeDim` are 0 where the part is absent. */
export interface LatentSizes {
  readonly tokens: number;
  readonly kvLoraRank: number;
  readonly nopeDim: number;
  readonly ropeDim: number;
  readonly valueDim: number;
  /** 0 without `keyUp`. */
  readonly keyUpHeads: number;
  /** 0 without `valueUp`. */
  readonly valueUpHeads: number;
}

/** For `Device.groupedAttention`. Throws `ShapeMismatch`, `InvalidArgument`, `IndexOutOfRange`. */
export function checkGroupedAttention(input: GroupedAttention): GroupedSizes {
  const { query, keys, values, heads, kvHeads } = input;
  ensureCount("heads", heads);
  ensureDivides("kvHeads", kvHeads, "heads", heads);
  const headDim = columnsPerHead("query", query.shape[1], heads);
  ensureSize("keys.width", keys.width, kvHeads * headDim);
  const valueDim = columnsPerHead("values", values.width, kvHeads);
  ensureSamePages("values", values, keys);
  checkSoftmax(input);
  checkSequences(input.sequences, query.shape[0], keys);
  return { tokens: query.shape[0], headDim, valueDim };
}

/** For `Device.latentAttention`. Throws `ShapeMismatch`, `InvalidArgument`, `IndexOutOfRange`. */
export function checkLatentAttention(input: LatentAttention): LatentSizes {
  const { queryNope, queryRope, latents, ropeKeys, heads, keyUp, valueUp } = input;
  ensureCount("heads", heads);
  const kvLoraRank = latents.width;
  const someQuery = queryNope ?? queryRope;
  ensure(
    someQuery !== undefined,
    "InvalidArgument",
    () => "Latent attention needs queryNope, queryRope or both.",
  );
  const tokens = someQuery.shape[0];

  const nopeDim = queryNope ? columnsPerHead("queryNope", queryNope.shape[1], heads) : 0;
  const keyUpHeads = checkUp("keyUp", keyUp, input.keyUpHeads, heads, kvLoraRank);
  ensure(
    !keyUp || queryNope !== undefined,
    "InvalidArgument",
    () => "keyUp serves queryNope, which is absent.",
  );
  if (keyUp) ensureSize("rows of keyUp", keyUp.shape[0], keyUpHeads * nopeDim);
  else if (queryNope) ensureSize("columns of queryNope per head", nopeDim, kvLoraRank);

  const ropeDim = queryRope ? columnsPerHead("queryRope", queryRope.shape[1], heads) : 0;
  checkRopePart(queryRope, ropeKeys, tokens, ropeDim, latents);

  const valueUpHeads = checkUp("valueUp", valueUp, input.valueUpHeads, heads, kvLoraRank);
  const valueDim = valueUp ? columnsPerHead("valueUp", valueUp.shape[0], valueUpHeads) : kvLoraRank;

  ensure(
    ["auto", "absorbed", "expanded", undefined].includes(input.way),
    "InvalidArgument",
    () => `Unknown way "${String(input.way)}"; use "auto", "absorbed" or "expanded".`,
    { way: input.way },
  );
  checkSoftmax(input);
  checkSequences(input.sequences, tokens, latents);
  return { tokens, kvLoraRank, nopeDim, ropeDim, valueDim, keyUpHeads, valueUpHeads };
}

function checkRopePart(
  queryRope: Tensor | undefined,
  ropeKeys: PagePool | undefined,
  tokens: number,
  ropeDim: number,
  latents: PagePool,
): void {
  ensure(
    (queryRope === undefined) === (ropeKeys === undefined),
    "InvalidArgument",
    () => "queryRope and ropeKeys come together: give both or neither.",
  );
  if (!queryRope || !ropeKeys) return;
  ensureSize("rows of queryRope", queryRope.shape[0], tokens);
  ensureSize("ropeKeys.width", ropeKeys.width, ropeDim);
  ensureSamePages("ropeKeys", ropeKeys, latents);
}

/** Checks an up-projection and its number of heads; returns that number, 0 where there is no projection. */
function checkUp(
  name: "keyUp" | "valueUp",
  up: Weight | undefined,
  upHeads: number | undefined,
  heads: number,
  kvLoraRank: number,
): number {
  ensure(
    (up === undefined) === (upHeads === undefined),
    "InvalidArgument",
    () => `${name} and ${name}Heads come together: give both or neither.`,
  );
  if (!up || upHeads === undefined) return 0;
  ensureDivides(`${name}Heads`, upHeads, "heads", heads);
  ensureShape(name, up.shape, [up.shape[0], kvLoraRank]);
  return upHeads;
}

function columnsPerHead(name: string, columns: number, heads: number): number {
  ensure(
    columns % heads === 0,
    "ShapeMismatch",
    () => `${name} has width ${columns}, no multiple of ${heads} heads.`,
    { name, columns, heads },
  );
  return columns / heads;
}

/** Planes of one cache share their page table, hence their page size; each must reach the pages used. */
function ensureSamePages(name: string, pool: PagePool, other: PagePool): void {
  ensureSize(`${name}.pageTokens`, pool.pageTokens, other.pageTokens);
  ensureSize(`${name}.pages`, pool.pages, other.pages);
}

function checkSoftmax({ scale, window, softCap }: GroupedAttention | LatentAttention): void {
  ensure(
    Number.isFinite(scale),
    "InvalidArgument",
    () => `scale must be a finite number, got ${scale}.`,
    { scale },
  );
  if (window !== undefined) ensureCount("window", window);
  if (softCap !== undefined) checkSoftCap(softCap);
}

function checkSequences(
  sequences: readonly AttentionSequence[],
  tokens: number,
  pool: PagePool,
): void {
  const taken = new Uint8Array(tokens);
  sequences.forEach(({ queryStart, queryCount, length, pages }, s) => {
    const name = `sequences[${s}]`;
    ensureCount(`${name}.queryCount`, queryCount);
    ensure(
      Number.isInteger(queryStart) && queryStart >= 0 && queryStart + queryCount <= tokens,
      "IndexOutOfRange",
      () => `${name} takes ${queryCount} rows from ${queryStart} on, the query has ${tokens}.`,
      { sequence: s, queryStart, queryCount, tokens },
    );
    ensure(
      Number.isInteger(length) && length >= queryCount,
      "InvalidArgument",
      () => `${name}.length is ${length}, less than its ${queryCount} queries.`,
      { sequence: s, length, queryCount },
    );
    const needed = Math.ceil(length / pool.pageTokens);
    ensure(
      pages.length >= needed,
      "ShapeMismatch",
      () => `${name} needs ${needed} pages for ${length} rows, got ${pages.length}.`,
      { sequence: s, needed, pages: pages.length },
    );
    ensureIndices(`${name}.pages`, pages, pool.pages);
    ensure(
      !taken.subarray(queryStart, queryStart + queryCount).includes(1),
      "InvalidArgument",
      () => `${name} shares query rows with an earlier sequence.`,
      { sequence: s },
    );
    taken.fill(1, queryStart, queryStart + queryCount);
  });
}
