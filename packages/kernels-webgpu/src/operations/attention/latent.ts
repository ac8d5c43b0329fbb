import {
  deviceKit,
  type AttentionSequence,
  type LatentAttention,
  type PagePool,
} from "@transmla/kernels";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { multiply } from "../linear";
import { readPages } from "../pages";
import type { GpuWeight } from "../weights";
import { absorbQueries, type TokenRange } from "./absorb";
import {
  attend,
  attendRange,
  type Attention,
  type LogitPart,
  type Plane,
  type SequenceTable,
} from "./attend";
import { clearUncovered, everythingSeen } from "./grouped";
import { mergeSplits } from "./merge";

/** Where the tensors of a latent attention are. */
export interface LatentBlocks {
  readonly queryNope: Block | undefined;
  readonly queryRope: Block | undefined;
  readonly latents: Plane & { readonly kind: "pool" };
  readonly ropeKeys: Plane | undefined;
  readonly keyUp: GpuWeight | undefined;
  readonly valueUp: GpuWeight | undefined;
}

/** Everything about one call that both ways need. */
interface Call {
  readonly gpu: Gpu;
  readonly input: LatentAttention;
  readonly sizes: deviceKit.LatentSizes;
  readonly blocks: LatentBlocks;
  readonly y: Block;
}

/** Numbers that are restored at a time by the expanded way (64 MiB), in whole rows of keys and values. */
const RESTORED_NUMBERS = 2 ** 24;
const MOST_RESTORED_ROWS = 4096;

/** Writes `[tokens, heads * valueDim]` to `y`; rows of no sequence become zero. */
export function latentAttention(call: Call): void {
  const { gpu, input, sizes, y } = call;
  clearUncovered(gpu, input.sequences, sizes.tokens, y, input.heads * sizes.valueDim);
  const ways = input.sequences.map((sequence) =>
    deviceKit.wayOf(input, sizes, sequence, gpu.machine),
  );
  const taking = (way: "absorbed" | "expanded") =>
    input.sequences.filter((_, i) => ways[i] === way);
  const absorbed = taking("absorbed");
  if (absorbed.length > 0) attendAbsorbed(call, absorbed);
  // After the absorbed, whose last product may touch rows between its sequences.
  for (const sequence of taking("expanded")) attendExpanded(call, sequence);
}

/** From the first to the last token of some sequences. */
function tokensOf(sequences: readonly AttentionSequence[]): TokenRange {
  const first = Math.min(...sequences.map(({ queryStart }) => queryStart));
  const end = Math.max(...sequences.map(({ queryStart, queryCount }) => queryStart + queryCount));
  return { first, count: end - first };
}

/** What both ways share of `Attention`. */
function common({ input, sizes, blocks }: Call) {
  const { heads, scale, window, softCap } = input;
  const { ropeDim, tokens } = sizes;
  const rope: LogitPart[] = blocks.ropeKeys
    ? [{ query: blocks.queryRope!, keys: blocks.ropeKeys, keyHeads: 1, width: ropeDim }]
    : [];
  const { pageTokens } = input.latents;
  return { rope, attention: { tokens, heads, scale, window, softCap, pageTokens } };
}

/** `q~ = U_k^T q`; softmax over `q~ . c + q_rope . r`; `o = U_v sum_n p_n c_n`. */
function attendAbsorbed(call: Call, sequences: readonly AttentionSequence[]): void {
  const { gpu, input, sizes, blocks, y } = call;
  const { heads } = input;
  const { kvLoraRank: rank, nopeDim, tokens } = sizes;
  const { latents, keyUp, valueUp } = blocks;
  const range = tokensOf(sequences);
  gpu.temporarily((take) => {
    const parts: LogitPart[] = [];
    if (blocks.queryNope) {
      let query = blocks.queryNope;
      if (keyUp) {
        query = take(4 * tokens * heads * rank);
        const up = { weight: keyUp, blocks: sizes.keyUpHeads };
        absorbQueries(gpu, blocks.queryNope, up, { heads, nopeDim }, range, query);
      }
      parts.push({ query, keys: latents, keyHeads: 1, width: rank });
    }
    const { rope, attention } = common(call);
    const whole: Attention = {
      ...attention,
      parts: [...parts, ...rope],
      values: latents,
      valueHeads: 1,
      valueDim: rank,
    };
    const visits = sequences.map((sequence) => everythingSeen(sequence, input.window));
    if (!valueUp) return attend(gpu, whole, visits, y);
    const mixed = take(4 * tokens * heads * rank);
    clearUncovered(gpu, sequences, range.count, mixed, (tokens / range.count) * heads * rank);
    attend(gpu, whole, visits, mixed);
    const perHead = { heads, blocks: sizes.valueUpHeads, firstToken: range.first };
    const rows = (range.count * heads) / sizes.valueUpHeads;
    multiply(gpu, { x: mixed, rows, y, weight: valueUp, perHead });
  });
}

/** Restores keys and values of a range of positions, attends to them, and goes on with the next range. */
function attendExpanded(call: Call, sequence: AttentionSequence): void {
  const { gpu, input, sizes, blocks, y } = call;
  const { heads } = input;
  const { nopeDim, valueDim, tokens } = sizes;
  const { latents, keyUp, valueUp } = blocks;
  const columns = (keyUp?.shape[0] ?? 0) + (valueUp?.shape[0] ?? 0);
  const step = restoredRows(columns);
  const { start, end } = everythingSeen(sequence, input.window);
  gpu.temporarily((take) => {
    const rows = Math.min(step, end - start);
    const restored = {
      latents: take(4 * rows * latents.width),
      keys: keyUp && take(4 * rows * keyUp.shape[0]),
      values: valueUp && take(4 * rows * valueUp.shape[0]),
    };
    const plane = (block: Block | undefined, weight: GpuWeight | undefined): Plane =>
      block && weight ? { kind: "restored", block, width: weight.shape[0] } : latents;
    const { rope, attention } = common(call);
    const keys = plane(restored.keys, keyUp);
    const keyHeads = sizes.keyUpHeads || 1;
    const nope = blocks.queryNope
      ? [{ query: blocks.queryNope, keys, keyHeads, width: nopeDim }]
      : [];
    const whole: Attention = {
      ...attention,
      parts: [...nope, ...rope],
      values: plane(restored.values, valueUp),
      valueHeads: sizes.valueUpHeads || 1,
      valueDim,
    };
    const sums = take(4 * tokens * heads * valueDim);
    const statistics = take(8 * tokens * heads);
    let table: SequenceTable | undefined;
    for (let from = start; from < end; from += step) {
      const to = Math.min(end, from + step);
      restore(call, restored, sequence, from, to);
      const visit = { sequence, start: from, end: to };
      const resume = from > start;
      table = attendRange(gpu, whole, visit, { sums, statistics, resume });
    }
    mergeSplits(gpu, whole, { sums, statistics, resume: false }, table!, y);
  });
}

/** A power of two. */
function restoredRows(columns: number): number {
  const fitting = 2 ** Math.floor(Math.log2(RESTORED_NUMBERS / Math.max(1, columns)));
  return Math.max(64, Math.min(MOST_RESTORED_ROWS, fitting));
}

interface Restored {
  readonly latents: Block;
  readonly keys: Block | undefined;
  readonly values: Block | undefined;
}

/** Gathers the rows `from … to - 1` of a sequence and multiplies them by the up-projections. */
function restore(
  { gpu, input, blocks }: Call,
  restored: Restored,
  { pages }: AttentionSequence,
  from: number,
  to: number,
): void {
  const { latents, keyUp, valueUp } = blocks;
  const rows = to - from;
  readPages(
    gpu,
    input.latents,
    latents.block,
    slotsOf(input.latents, pages, from, to),
    restored.latents,
  );
  const x = { x: restored.latents, rows };
  if (keyUp) multiply(gpu, { ...x, y: restored.keys!, weight: keyUp });
  if (valueUp) multiply(gpu, { ...x, y: restored.values!, weight: valueUp });
}

function slotsOf(
  { pageTokens }: PagePool,
  pages: Int32Array,
  from: number,
  to: number,
): Int32Array {
  return Int32Array.from({ length: to - from }, (_, i) => {
    const n = from + i;
    return pages[Math.floor(n / pageTokens)]! * pageTokens + (n % pageTokens);
  });
}
