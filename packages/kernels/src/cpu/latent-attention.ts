import type { AttentionSequence, LatentAttention } from "../device";
import type { LatentSizes } from "../validate";
import { AttentionState, firstSeen, type LogitPart } from "./attention-state";
import { pagedRange } from "./grouped-attention";
import { floatPlane, loadCalls, type CachePlane } from "./cache-rows";
import type { Call as KernelCall, Pointer } from "./kernels";
import { multiply, productCalls } from "./multiply";
import type { PackedWeight, Panels } from "./packed-weight";
import { placeIntegers, type Runtime } from "./runtime";
import { wayOf } from "./way";

/** Where the tensors of a latent attention are. */
export interface LatentPointers {
  readonly queryNope: Pointer;
  readonly queryRope: Pointer;
  readonly latents: CachePlane;
  readonly ropeKeys: CachePlane | undefined;
  readonly keyUp: PackedWeight | undefined;
  readonly valueUp: PackedWeight | undefined;
}

/** Everything about one call that both ways need. */
interface Call {
  readonly runtime: Runtime;
  readonly input: LatentAttention;
  readonly sizes: LatentSizes;
  readonly pointers: LatentPointers;
  readonly to: Pointer;
}

/** Rows restored at a time by the expanded way. */
const EXPANDED_ROWS = 256;

/** Writes `[tokens, heads * valueDim]` to `to`; rows of no sequence become zero. */
export function latentAttention(call: Call): void {
  const { input, sizes, runtime } = call;
  runtime.memory.view(call.to, sizes.tokens * input.heads * sizes.valueDim).fill(0);
  const absorbed: AttentionSequence[] = [];
  const expanded: AttentionSequence[] = [];
  for (const sequence of input.sequences) {
    (wayOf(input, sizes, sequence, runtime.limits) === "absorbed" ? absorbed : expanded).push(
      sequence,
    );
  }
  for (const run of adjacentRuns(absorbed)) attendAbsorbed(call, run);
  for (const sequence of expanded) attendExpanded(call, sequence);
}

/** Groups sequences whose query rows follow each other, so that their projections are one product. */
function adjacentRuns(sequences: readonly AttentionSequence[]): AttentionSequence[][] {
  const runs: AttentionSequence[][] = [];
  let end = -1;
  for (const sequence of sequences) {
    if (sequence.queryStart === end) runs.at(-1)!.push(sequence);
    else runs.push([sequence]);
    end = sequence.queryStart + sequence.queryCount;
  }
  return runs;
}

/** The first token and the number of tokens of consecutive sequences. */
function tokensOf(sequences: readonly AttentionSequence[]): { first: number; tokens: number } {
  const first = sequences[0]!.queryStart;
  const last = sequences.at(-1)!;
  return { first, tokens: last.queryStart + last.queryCount - first };
}

/** `q~ = U_k^T q`; softmax over `q~ . c + q_rope . r`; `o = U_v sum_n p_n c_n`. */
function attendAbsorbed(call: Call, sequences: readonly AttentionSequence[]): void {
  const { runtime, input, sizes, pointers } = call;
  const { heads, scale, window, softCap, latents } = input;
  const { kvLoraRank: rank, nopeDim, ropeDim, valueDim } = sizes;
  const { first, tokens } = tokensOf(sequences);
  runtime.memory.temporarily((allocate) => {
    const parts: LogitPart[] = [];
    if (nopeDim > 0) {
      let query = pointers.queryNope + 4 * first * heads * nopeDim;
      if (pointers.keyUp) {
        const blocks = pointers.keyUp.blocks({ blocks: sizes.keyUpHeads, transposed: true });
        const absorbed = allocate(4 * tokens * heads * rank);
        perHead(runtime, blocks, { tokens, heads }, query, nopeDim, absorbed, rank);
        query = absorbed;
      }
      parts.push({ query, keys: pointers.latents, width: rank });
    }
    if (pointers.ropeKeys) {
      const query = pointers.queryRope + 4 * first * heads * ropeDim;
      parts.push({ query, keys: pointers.ropeKeys, width: ropeDim });
    }

    const longest = Math.max(...sequences.map(({ length }) => length));
    const state = new AttentionState(
      runtime,
      { tokens, heads, scale, window, softCap, valueDim: rank, longest },
      allocate,
    );
    const shared = { keyHeads: 1, keyWidth: rank, valueHeads: 1, valueWidth: rank };
    const visits = sequences.map((sequence) => ({
      sequence: { ...sequence, queryStart: sequence.queryStart - first },
      range: pagedRange(runtime, sequence, window, latents.pageTokens, allocate),
    }));
    state.visit(visits, parts, pointers.latents, shared);

    const to = call.to + 4 * first * heads * valueDim;
    if (!pointers.valueUp) return state.normalise(to);
    const mixed = allocate(4 * tokens * heads * rank);
    state.normalise(mixed);
    const blocks = pointers.valueUp.blocks({ blocks: sizes.valueUpHeads, transposed: false });
    perHead(runtime, blocks, { tokens, heads }, mixed, rank, to, valueDim);
  });
}

/**
 * `y[t, i] = U_b x[t, i]` for every token and head, `b` the block of head `i`. A product takes either all tokens of one
 * head or all heads of one block, whichever are more.
 */
function perHead(
  runtime: Runtime,
  blocks: readonly Panels[],
  { tokens, heads }: { readonly tokens: number; readonly heads: number },
  x: Pointer,
  xWidth: number,
  y: Pointer,
  yWidth: number,
): void {
  const group = heads / blocks.length;
  const products = Math.min(tokens, group) * blocks.length;
  // Many products are shared out whole; few are cut.
  const threads = products >= 4 * runtime.threads ? 1 : runtime.threads;
  const calls = blocks.flatMap((panels, block) => {
    const at = (token: number, head: number) => token * heads + block * group + head;
    const product = (row: number, count: number, step: number) =>
      productCalls(
        threads,
        panels,
        { pointer: x + 4 * row * xWidth, tokens: count, stride: step * xWidth },
        { pointer: y + 4 * row * yWidth, stride: step * yWidth },
      );
    return tokens < group
      ? Array.from({ length: tokens }, (_, t) => product(at(t, 0), group, 1)).flat()
      : Array.from({ length: group }, (_, head) => product(at(0, head), tokens, heads)).flat();
  });
  runtime.run(calls);
}

/** Restores keys and values block by block, then attends to them as if they were a cache. */
function attendExpanded(call: Call, sequence: AttentionSequence): void {
  const { runtime, input, sizes, pointers } = call;
  const { heads, scale, window, softCap } = input;
  const { kvLoraRank: rank, nopeDim, ropeDim, valueDim } = sizes;
  const { queryStart, queryCount, length } = sequence;
  const local = { ...sequence, queryStart: 0 };
  const sharing = {
    keyHeads: sizes.keyUpHeads || 1,
    keyWidth: nopeDim,
    valueHeads: sizes.valueUpHeads || 1,
    valueWidth: valueDim,
  };
  runtime.memory.temporarily((allocate) => {
    const state = new AttentionState(
      runtime,
      { tokens: queryCount, heads, scale, window, softCap, valueDim, longest: 0 },
      allocate,
    );
    const block = allocateBlock(call, allocate);
    const parts: LogitPart[] = [];
    if (nopeDim > 0) {
      const query = pointers.queryNope + 4 * queryStart * heads * nopeDim;
      const keys = floatPlane(block.keys, pointers.keyUp?.outputs ?? rank);
      parts.push({ query, keys, width: nopeDim });
    }
    if (ropeDim > 0) {
      const query = pointers.queryRope + 4 * queryStart * heads * ropeDim;
      parts.push({ query, keys: floatPlane(block.ropeKeys, ropeDim), width: ropeDim });
    }
    const values = floatPlane(block.values, pointers.valueUp?.outputs ?? rank);
    for (let start = firstSeen(sequence, window); start < length; start += EXPANDED_ROWS) {
      const end = Math.min(length, start + EXPANDED_ROWS);
      restore(call, block, sequence, start, end);
      const range = { pages: block.page, pageTokens: EXPANDED_ROWS, base: start, start, end };
      state.visit([{ sequence: local, range }], parts, values, sharing);
    }
    state.normalise(call.to + 4 * queryStart * heads * valueDim);
  });
}

/** Memory for one block of restored rows. */
interface Block {
  readonly latents: Pointer;
  readonly ropeKeys: Pointer;
  readonly keys: Pointer;
  readonly values: Pointer;
  /** A page table of one entry: page 0. */
  readonly page: Pointer;
}

function allocateBlock({ runtime, sizes }: Call, allocate: (bytes: number) => number): Block {
  const { kvLoraRank, nopeDim, ropeDim, valueDim, keyUpHeads, valueUpHeads } = sizes;
  const rows = (width: number) => allocate(4 * EXPANDED_ROWS * width);
  const latents = rows(kvLoraRank);
  return {
    latents,
    ropeKeys: rows(ropeDim),
    keys: keyUpHeads ? rows(keyUpHeads * nopeDim) : latents,
    values: valueUpHeads ? rows(valueUpHeads * valueDim) : latents,
    page: placeIntegers(runtime.memory, allocate(4), Int32Array.of(0)),
  };
}

/** Gathers the rows `start … end - 1` of a sequence and multiplies them by the up-projections. */
function restore(
  { runtime, input, sizes, pointers }: Call,
  block: Block,
  { pages }: AttentionSequence,
  start: number,
  end: number,
): void {
  const { pageTokens } = input.latents;
  const { kvLoraRank, ropeDim } = sizes;
  const calls: KernelCall[] = [];
  for (let n = start; n < end;) {
    const offset = n % pageTokens;
    const rows = Math.min(pageTokens - offset, end - n);
    const slot = pages[Math.floor(n / pageTokens)]! * pageTokens + offset;
    const at = n - start;
    const latentRows = block.latents + 4 * at * kvLoraRank;
    calls.push(...loadCalls(runtime, pointers.latents, slot, rows, latentRows));
    if (pointers.ropeKeys) {
      const ropeRows = block.ropeKeys + 4 * at * ropeDim;
      calls.push(...loadCalls(runtime, pointers.ropeKeys, slot, rows, ropeRows));
    }
    n += rows;
  }
  runtime.run(calls);
  const x = { pointer: block.latents, tokens: end - start };
  if (pointers.keyUp) multiply(runtime, pointers.keyUp, x, { pointer: block.keys });
  if (pointers.valueUp) multiply(runtime, pointers.valueUp, x, { pointer: block.values });
}
