import type { AttentionSequence, CacheStorage } from "@transmla/kernels";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import {
  attentionKernel,
  columnsOf,
  KEYS,
  type AttentionVariant,
  type PlaneVariant,
} from "./kernel";
import { mergeSplits } from "./merge";

/** Rows of keys or values: a pool, read through the pages of a sequence, or rows that were restored for a range of positions. */
export type Plane =
  | {
      readonly kind: "pool";
      readonly block: Block;
      readonly storage: CacheStorage;
      readonly width: number;
      /** Rows of the pool. */
      readonly rows: number;
      readonly pageTokens: number;
    }
  | { readonly kind: "restored"; readonly block: Block; readonly width: number };

/** Where a logit comes from: the dot product of a query and the key of its head, both of `width` numbers. */
export interface LogitPart {
  /** `[tokens, heads * width]` */
  readonly query: Block;
  readonly keys: Plane;
  /** Heads whose keys lie side by side in a row. */
  readonly keyHeads: number;
  readonly width: number;
}

/** A sequence and the positions `start … end - 1` that this call looks at. */
export interface Visit {
  readonly sequence: AttentionSequence;
  readonly start: number;
  readonly end: number;
}

export interface Attention {
  readonly tokens: number;
  readonly heads: number;
  readonly scale: number;
  readonly window?: number | undefined;
  readonly softCap?: number | undefined;
  readonly parts: readonly LogitPart[];
  readonly values: Plane;
  readonly valueHeads: number;
  readonly valueDim: number;
  readonly pageTokens: number;
}

/** Unfinished attention of all tokens and heads: sums of values, and per row the largest logit and the sum of weights. */
export interface Unfinished {
  /** `[splits, tokens, heads * valueDim]` */
  readonly sums: Block;
  /** `[splits, tokens, heads * 2]` */
  readonly statistics: Block;
  /** Whether the sums are those of earlier positions, to be continued. */
  readonly resume: boolean;
}

/** Workgroups that keep a large GPU busy; where there are fewer the context is split. */
const BUSY_WORKGROUPS = 512;
/** Positions that are worth a workgroup of their own. */
const LEAST_SPLIT = 256;
/** Words of a sequence in the table; see `SEQUENCE` in kernel.ts. */
const RECORD = 10;

/**
 * Attention over everything the visits see, into `y [tokens, heads * valueDim]`. Tokens of no visit are left as they are. Long contexts
 * are split over workgroups, whose results are merged.
 */
export function attend(gpu: Gpu, attention: Attention, visits: readonly Visit[], y: Block): void {
  const plan = planTasks(attention, visits, true);
  const splits = Math.max(...plan.tasks.map((task) => task.splits));
  if (splits === 1) {
    run(gpu, attention, visits, plan, { y });
    return;
  }
  const { tokens, heads, valueDim } = attention;
  gpu.temporarily((take) => {
    const unfinished = {
      sums: take(4 * splits * tokens * heads * valueDim),
      statistics: take(8 * splits * tokens * heads),
      resume: false,
    };
    const table = run(gpu, attention, visits, plan, { unfinished });
    mergeSplits(gpu, attention, unfinished, table, y);
  });
}

/** One range of positions of a longer attention: continues `unfinished`, and leaves it for the next. */
export function attendRange(
  gpu: Gpu,
  attention: Attention,
  visit: Visit,
  unfinished: Unfinished,
): SequenceTable {
  return run(gpu, attention, [visit], planTasks(attention, [visit], false), { unfinished });
}

/** Where the table of sequences lies in `host`. */
export interface SequenceTable {
  readonly at: number;
  readonly sequences: number;
}

interface Plan {
  /** Consecutive heads that share keys and values. */
  readonly group: number;
  /** Pairs of a token and a head that a workgroup takes together. */
  readonly pairs: number;
  readonly tasks: readonly { readonly tiles: number; readonly splits: number }[];
}

function planTasks(attention: Attention, visits: readonly Visit[], split: boolean): Plan {
  const { heads, parts, valueHeads, valueDim } = attention;
  const group = [...parts.map(({ keyHeads }) => keyHeads), valueHeads]
    .map((shared) => heads / shared)
    .reduce(greatestCommonDivisor);
  const most = Math.max(...visits.map(({ sequence }) => sequence.queryCount)) * group;
  const pairs = tilePairs(most, valueDim);
  const tiles = visits.map(({ sequence }) => Math.ceil((sequence.queryCount * group) / pairs));
  const workgroups = (tiles.reduce((sum, n) => sum + n, 0) * heads) / group;
  const wanted = split ? Math.ceil(BUSY_WORKGROUPS / workgroups) : 1;
  return {
    group,
    pairs,
    tasks: visits.map(({ start, end }, i) => ({
      tiles: tiles[i]!,
      splits: Math.min(wanted, Math.ceil((end - start) / LEAST_SPLIT)),
    })),
  };
}

/** Few or many; fewer where their sums would not fit the registers. */
function tilePairs(most: number, valueDim: number): number {
  const fitting = 2 ** Math.floor(Math.log2(8192 / valueDim));
  return Math.max(4, Math.min(most <= 4 ? 4 : 16, fitting));
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function run(
  gpu: Gpu,
  attention: Attention,
  visits: readonly Visit[],
  plan: Plan,
  output: { readonly y: Block } | { readonly unfinished: Unfinished },
): SequenceTable {
  const { heads, parts, values, valueHeads, valueDim, tokens } = attention;
  const unfinished = "unfinished" in output ? output.unfinished : undefined;
  const variant: AttentionVariant = {
    pairs: plan.pairs,
    parts: parts.map(({ keys, width }) => planeVariant(keys, width)),
    values: planeVariant(values, valueDim),
    ...columnsOf(plan.pairs, valueDim),
    softCap: attention.softCap !== undefined,
    unfinished: unfinished !== undefined,
  };
  const { table, workgroups } = placeSequences(gpu, visits, plan, heads / plan.group);
  const planes = [
    ...parts.map(({ keys, keyHeads, width }) => ({ plane: keys, sharing: keyHeads, width })),
    { plane: values, sharing: valueHeads, width: valueDim },
  ];
  gpu.run(
    `attention/${JSON.stringify(variant)}`,
    () => attentionKernel(variant),
    [
      table.at,
      table.sequences,
      workgroups,
      tokens,
      heads,
      plan.group,
      attention.pageTokens,
      // No context is longer; see `Attention.window`.
      attention.window ?? 0x7fffffff,
      unfinished?.resume ? 1 : 0,
      attention.scale,
      attention.softCap ?? 0,
      ...planes.flatMap(({ plane, sharing, width }) => [
        sharing,
        width,
        planeStride(plane),
        plane.kind === "pool" ? plane.rows : 0,
      ]),
    ],
    [
      ...parts.flatMap(({ query, keys }) => [query, keys.block]),
      values.block,
      ...("y" in output ? [output.y] : [output.unfinished.sums, output.unfinished.statistics]),
    ],
    { count: workgroups },
  );
  return table;
}

function planeVariant(plane: Plane, width: number): PlaneVariant {
  const aligned = width % 4 === 0;
  if (plane.kind === "pool") return { kind: plane.storage, aligned };
  return { kind: plane.width % 4 === 0 ? "restored" : "restored-unaligned", aligned };
}

/** Elements of four numbers in a row of a pool, numbers in a row of restored ones. */
function planeStride(plane: Plane): number {
  return plane.kind === "pool" ? Math.ceil(plane.width / 4) : plane.width;
}

function placeSequences(
  gpu: Gpu,
  visits: readonly Visit[],
  plan: Plan,
  runs: number,
): { table: SequenceTable; workgroups: number } {
  const words = visits.reduce((sum, { sequence }) => sum + sequence.pages.length, 0);
  gpu.recorder.prepare(words + RECORD * visits.length, visits.length + 1);
  const records = new Uint32Array(RECORD * visits.length);
  let workgroups = 0;
  visits.forEach(({ sequence, start, end }, i) => {
    const { queryStart, queryCount, length, pages } = sequence;
    const { tiles, splits } = plan.tasks[i]!;
    workgroups += runs * tiles * splits;
    const splitRows = Math.ceil((end - start) / splits / KEYS) * KEYS;
    const pagesAt = gpu.recorder.integers(pages);
    records.set(
      [workgroups, queryStart, queryCount, length, pagesAt, tiles, splits, splitRows, start, end],
      RECORD * i,
    );
  });
  const at = gpu.recorder.integers(records);
  return { table: { at, sequences: visits.length }, workgroups };
}
