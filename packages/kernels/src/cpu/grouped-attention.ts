import type { AttentionSequence, GroupedAttention } from "../device";
import type { GroupedSizes } from "../validate";
import { AttentionState, firstSeen, type KeyRange } from "./attention-state";
import type { CachePlane } from "./cache-rows";
import type { Pointer } from "./kernels";
import { placeIntegers, type Runtime } from "./runtime";

/** Writes `[tokens, heads * valueDim]` to `to`. */
export function groupedAttention(
  runtime: Runtime,
  input: GroupedAttention,
  sizes: GroupedSizes,
  pointers: { readonly query: Pointer; readonly keys: CachePlane; readonly values: CachePlane },
  to: Pointer,
): void {
  const { heads, kvHeads, keys, sequences, scale, window, softCap } = input;
  const { tokens, headDim, valueDim } = sizes;
  const part = { query: pointers.query, keys: pointers.keys, width: headDim };
  const sharing = {
    keyHeads: kvHeads,
    keyWidth: headDim,
    valueHeads: kvHeads,
    valueWidth: valueDim,
  };
  runtime.memory.temporarily((allocate) => {
    const longest = Math.max(...sequences.map(({ length }) => length));
    const all = { tokens, heads, valueDim, scale, window, softCap, longest };
    const state = new AttentionState(runtime, all, allocate);
    const visits = sequences.map((sequence) => ({
      sequence,
      range: pagedRange(runtime, sequence, window, keys.pageTokens, allocate),
    }));
    state.visit(visits, [part], pointers.values, sharing);
    state.normalise(to);
  });
}

/** Everything a sequence sees, on its own pages. */
export function pagedRange(
  { memory }: Runtime,
  sequence: AttentionSequence,
  window: number | undefined,
  pageTokens: number,
  allocate: (bytes: number) => number,
): KeyRange {
  const { pages, length } = sequence;
  const pointer = allocate(4 * pages.length);
  placeIntegers(memory, pointer, pages);
  const start = firstSeen(sequence, window);
  return { pages: pointer, pageTokens, base: 0, start, end: length };
}
