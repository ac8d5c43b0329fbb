import {
  deviceKit,
  type AttentionSequence,
  type GroupedAttention,
  type LatentAttention,
} from "@transmla/kernels";
import { discard, type GpuQueue, type Handle } from "./gpu-queue";

/** Where a logit comes from. */
interface Part {
  readonly query: Handle;
  readonly keys: Handle;
  readonly keyHeads: number;
  readonly width: number;
  /** Rows of `keys` by position. */
  readonly slots: Float32Array;
}

interface Values {
  readonly rows: Handle;
  readonly heads: number;
  readonly width: number;
  readonly slots: Float32Array;
}

/** What all tokens see: their slots in one list, and per token where its own start and which positions it looks at. */
interface Sight {
  readonly tokens: number;
  /** The longest sequence, and up to a multiple of `STEP`. */
  readonly positions: number;
  readonly slots: Float32Array;
  readonly places: Float32Array;
}

/** So many tokens long a context grows before its kernels need another shape. */
const STEP = 64;

type Softmax = Pick<GroupedAttention, "heads" | "scale" | "softCap">;

function sightOf(
  sequences: readonly AttentionSequence[],
  tokens: number,
  pageTokens: number,
  window = Infinity,
): Sight {
  const slots: number[] = [];
  const places = new Float32Array(3 * tokens);
  for (const { queryStart, queryCount, length, pages } of sequences) {
    for (let j = 0; j < queryCount; j++) {
      const end = length - queryCount + j + 1;
      places.set([slots.length, Math.max(0, end - window), end], 3 * (queryStart + j));
    }
    for (let n = 0; n < length; n++) {
      slots.push(pages[Math.floor(n / pageTokens)]! * pageTokens + (n % pageTokens));
    }
  }
  const longest = Math.max(1, ...sequences.map(({ length }) => length));
  const positions = Math.ceil(longest / STEP) * STEP;
  // A list needs a number even where no token sees anything.
  return { tokens, positions, slots: Float32Array.from(slots.length > 0 ? slots : [0]), places };
}

/** Softmax over the sum of the parts, applied to the values. Tokens that see nothing become zero. */
async function attend(
  queue: GpuQueue,
  { heads, scale, softCap = 0 }: Softmax,
  { tokens, positions, places }: Sight,
  parts: readonly Part[],
  values: Values,
): Promise<Handle> {
  const pairs = [tokens * heads, positions] as const;
  const made: Handle[] = [];
  const keep = async (handle: Promise<Handle>) => {
    made.push(await handle);
    return made.at(-1)!;
  };
  try {
    let logits: Handle | undefined;
    for (const { query, keys, keyHeads, width, slots } of parts) {
      const numbers = Float32Array.of(heads, keyHeads, width);
      const part = await keep(queue.run("logits", pairs, [query, keys, slots, places, numbers]));
      logits = logits ? await keep(queue.run("add", pairs, [logits, part])) : part;
    }
    const seen = await keep(
      queue.run("seenLogits", pairs, [logits!, places, Float32Array.of(heads, scale, softCap)]),
    );
    const softmax = await keep(
      queue.run("softmax", [pairs[0], 2], [seen, Float32Array.of(positions)]),
    );
    const numbers = Float32Array.of(heads, values.heads, values.width);
    return await queue.run(
      "mix",
      [tokens, heads * values.width],
      [seen, softmax, values.rows, values.slots, places, numbers],
    );
  } finally {
    made.forEach(discard);
  }
}

export function groupedAttention(
  queue: GpuQueue,
  input: GroupedAttention,
  sizes: deviceKit.GroupedSizes,
  handles: { readonly query: Handle; readonly keys: Handle; readonly values: Handle },
): Promise<Handle> {
  const { kvHeads, sequences, window } = input;
  const sight = sightOf(sequences, sizes.tokens, input.keys.pageTokens, window);
  const { slots } = sight;
  const { query, keys } = handles;
  const part = { query, keys, keyHeads: kvHeads, width: sizes.headDim, slots };
  const values = { rows: handles.values, heads: kvHeads, width: sizes.valueDim, slots };
  return attend(queue, input, sight, [part], values);
}

/** Handles of a latent attention; parts that are absent are `undefined`. */
export interface LatentHandles {
  readonly queryNope: Handle | undefined;
  readonly queryRope: Handle | undefined;
  readonly latents: Handle;
  readonly ropeKeys: Handle | undefined;
  readonly keyUp: Handle | undefined;
  readonly valueUp: Handle | undefined;
}

/** Absorbed unless the caller wants it expanded. */
export async function latentAttention(
  queue: GpuQueue,
  input: LatentAttention,
  sizes: deviceKit.LatentSizes,
  handles: LatentHandles,
): Promise<Handle> {
  const sight = sightOf(input.sequences, sizes.tokens, input.latents.pageTokens, input.window);
  const rope: Part[] =
    handles.queryRope && handles.ropeKeys
      ? [
          {
            query: handles.queryRope,
            keys: handles.ropeKeys,
            keyHeads: 1,
            width: sizes.ropeDim,
            slots: sight.slots,
          },
        ]
      : [];
  const way = input.way === "expanded" ? expanded : absorbed;
  return way(queue, input, sizes, handles, sight, rope);
}

/** `q~ = U_k^T q`, `o = U_v sum_n p_n c_n` */
async function absorbed(
  queue: GpuQueue,
  input: LatentAttention,
  { kvLoraRank: rank, nopeDim, valueDim, keyUpHeads, valueUpHeads }: deviceKit.LatentSizes,
  { queryNope, latents, keyUp, valueUp }: LatentHandles,
  sight: Sight,
  rope: readonly Part[],
): Promise<Handle> {
  const { heads } = input;
  const { tokens, slots } = sight;
  const made: Handle[] = [];
  try {
    const parts = [...rope];
    if (queryNope) {
      let query = queryNope;
      if (keyUp) {
        const numbers = Float32Array.of(heads, keyUpHeads, nopeDim, rank);
        query = await queue.run("absorb", [tokens, heads * rank], [queryNope, keyUp, numbers]);
        made.push(query);
      }
      parts.push({ query, keys: latents, keyHeads: 1, width: rank, slots });
    }
    const mixed = await attend(queue, input, sight, parts, {
      rows: latents,
      heads: 1,
      width: rank,
      slots,
    });
    if (!valueUp) return mixed;
    made.push(mixed);
    const numbers = Float32Array.of(heads, valueUpHeads, valueDim, rank);
    return await queue.run("raise", [tokens, heads * valueDim], [mixed, valueUp, numbers]);
  } finally {
    made.forEach(discard);
  }
}

/** `k_n = U_k c_n`, `v_n = U_v c_n` of all positions first */
async function expanded(
  queue: GpuQueue,
  input: LatentAttention,
  sizes: deviceKit.LatentSizes,
  { queryNope, latents, keyUp, valueUp }: LatentHandles,
  sight: Sight,
  rope: readonly Part[],
): Promise<Handle> {
  const { kvLoraRank: rank, nopeDim, valueDim, keyUpHeads, valueUpHeads } = sizes;
  const count = sight.slots.length;
  // Restored rows lie in the order of the list of slots.
  const inOrder = Float32Array.from({ length: count }, (_, i) => i);
  const made: Handle[] = [];
  const restore = async (up: Handle, width: number) => {
    const rows = await queue.run("pick", [count, rank], [latents, sight.slots]);
    made.push(rows);
    const restored = await queue.run("linear", [count, width], [rows, up, Float32Array.of(rank)]);
    made.push(restored);
    return restored;
  };
  try {
    const parts = [...rope];
    if (queryNope) {
      const keys = keyUp ? await restore(keyUp, keyUpHeads * nopeDim) : latents;
      const slots = keyUp ? inOrder : sight.slots;
      parts.push({ query: queryNope, keys, keyHeads: keyUpHeads || 1, width: nopeDim, slots });
    }
    const values = {
      rows: valueUp ? await restore(valueUp, valueUpHeads * valueDim) : latents,
      heads: valueUpHeads || 1,
      width: valueDim,
      slots: valueUp ? inOrder : sight.slots,
    };
    return await attend(queue, input, sight, parts, values);
  } finally {
    made.forEach(discard);
  }
}
