import type { GroupedAttention } from "@transmla/kernels";
import type { deviceKit } from "@transmla/kernels";
import type { Block } from "../../runtime/buffer-pool";
import type { Gpu } from "../../runtime/gpu";
import { attend, type Plane, type Visit } from "./attend";

type Sizes = deviceKit.GroupedSizes;

/** Writes `[tokens, heads * valueDim]` to `y`; rows of no sequence become zero. */
export function groupedAttention(
  gpu: Gpu,
  input: GroupedAttention,
  sizes: Sizes,
  query: Block,
  planes: { readonly keys: Plane; readonly values: Plane },
  y: Block,
): void {
  const { heads, kvHeads, sequences, window } = input;
  const { tokens, headDim, valueDim } = sizes;
  clearUncovered(gpu, sequences, tokens, y, heads * valueDim);
  const attention = {
    ...input,
    tokens,
    parts: [{ query, keys: planes.keys, keyHeads: kvHeads, width: headDim }],
    values: planes.values,
    valueHeads: kvHeads,
    valueDim,
    pageTokens: input.keys.pageTokens,
  };
  if (sequences.length === 0) return;
  attend(
    gpu,
    attention,
    sequences.map((sequence) => everythingSeen(sequence, window)),
    y,
  );
}

type Sequence = GroupedAttention["sequences"][number];

/** All positions that any query of a sequence sees. */
export function everythingSeen(sequence: Sequence, window: number | undefined): Visit {
  const { length, queryCount } = sequence;
  const start = window === undefined ? 0 : Math.max(0, length - queryCount + 1 - window);
  return { sequence, start, end: length };
}

/** Makes all of `y` zero where some of its tokens belong to no sequence. */
export function clearUncovered(
  gpu: Gpu,
  sequences: readonly Sequence[],
  tokens: number,
  y: Block,
  columns: number,
): void {
  const covered = sequences.reduce((sum, { queryCount }) => sum + queryCount, 0);
  if (covered < tokens) gpu.recorder.clear(y, 4 * tokens * columns);
}
