import type { AttentionSequence, GroupedAttention, LatentAttention } from "../device";
import type { GroupedSizes, LatentSizes } from "../validate";
import { softmax, softCapped } from "./softmax";

/** Numbers of a page pool, and how to find row `n` of a sequence in them. */
export interface Plane {
  readonly values: Float32Array;
  readonly width: number;
  readonly pageTokens: number;
}

/** Offset of the row of position `n` in the plane. */
export function rowOffset(plane: Plane, pages: Int32Array, n: number): number {
  const page = pages[Math.floor(n / plane.pageTokens)]!;
  return (page * plane.pageTokens + (n % plane.pageTokens)) * plane.width;
}

/** One query row: where it stands and which positions it sees, `first … position`. */
interface Query {
  readonly row: number;
  readonly first: number;
  readonly position: number;
  readonly pages: Int32Array;
}

function* queriesOf(
  sequences: readonly AttentionSequence[],
  window: number | undefined,
): Generator<Query> {
  for (const { queryStart, queryCount, length, pages } of sequences) {
    for (let j = 0; j < queryCount; j++) {
      const position = length - queryCount + j;
      const first = window === undefined ? 0 : Math.max(0, position - window + 1);
      yield { row: queryStart + j, first, position, pages };
    }
  }
}

/** `sum_i a[aStart + i] * b[bStart + i]` in float64. */
function dot(
  a: ArrayLike<number>,
  aStart: number,
  b: ArrayLike<number>,
  bStart: number,
  n: number,
): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[aStart + i]! * b[bStart + i]!;
  return sum;
}

export function groupedAttention(
  input: GroupedAttention,
  { tokens, headDim, valueDim }: GroupedSizes,
  query: Float32Array,
  keys: Plane,
  values: Plane,
): Float32Array {
  const { heads, kvHeads, scale } = input;
  const output = new Float32Array(tokens * heads * valueDim);
  for (const { row, first, position, pages } of queriesOf(input.sequences, input.window)) {
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor((head * kvHeads) / heads);
      const logits = new Float64Array(position - first + 1);
      for (let n = first; n <= position; n++) {
        const key = rowOffset(keys, pages, n) + kvHead * headDim;
        logits[n - first] =
          scale * dot(query, (row * heads + head) * headDim, keys.values, key, headDim);
      }
      const p = softmax(softCapped(logits, input.softCap));
      for (let v = 0; v < valueDim; v++) {
        let sum = 0;
        for (let n = first; n <= position; n++) {
          sum +=
            p[n - first]! * values.values[rowOffset(values, pages, n) + kvHead * valueDim + v]!;
        }
        output[(row * heads + head) * valueDim + v] = sum;
      }
    }
  }
  return output;
}

/** The tensors of a latent attention; parts that are absent are `undefined`. */
export interface LatentData {
  readonly queryNope: Float32Array | undefined;
  readonly queryRope: Float32Array | undefined;
  readonly latents: Plane;
  readonly ropeKeys: Plane | undefined;
  readonly keyUp: Float32Array | undefined;
  readonly valueUp: Float32Array | undefined;
}

/** Both ways, written as they are defined. */
export function latentAttention(
  input: LatentAttention,
  sizes: LatentSizes,
  data: LatentData,
): Float32Array {
  const { heads } = input;
  const { valueDim } = sizes;
  const headOf = input.way === "expanded" ? expandedHead : absorbedHead;
  const output = new Float32Array(sizes.tokens * heads * valueDim);
  for (const query of queriesOf(input.sequences, input.window)) {
    for (let head = 0; head < heads; head++) {
      output.set(headOf(input, sizes, data, query, head), (query.row * heads + head) * valueDim);
    }
  }
  return output;
}

/** Row of the first number of the block of an up-projection that serves `head`. */
function upBlock(head: number, heads: number, upHeads: number, blockRows: number): number {
  return Math.floor((head * upHeads) / heads) * blockRows;
}

/** `scale * q_rope . r_n` for the positions a query sees; zero without a rotated part. */
function ropeLogits(
  { heads, scale }: LatentAttention,
  { ropeDim }: LatentSizes,
  { queryRope, ropeKeys }: LatentData,
  { row, first, position, pages }: Query,
  head: number,
): Float64Array {
  const logits = new Float64Array(position - first + 1);
  if (!queryRope || !ropeKeys) return logits;
  for (let n = first; n <= position; n++) {
    const key = rowOffset(ropeKeys, pages, n);
    logits[n - first] =
      scale * dot(queryRope, (row * heads + head) * ropeDim, ropeKeys.values, key, ropeDim);
  }
  return logits;
}

/** `q~ = U_k^T q`, `p = softmax(scale * (q~ . c + q_rope . r))` (soft-capped), `o = U_v sum_n p_n c_n`. */
function absorbedHead(
  input: LatentAttention,
  sizes: LatentSizes,
  data: LatentData,
  query: Query,
  head: number,
): Float64Array {
  const { kvLoraRank: rank, valueDim } = sizes;
  const { latents, valueUp } = data;
  const { first, position, pages } = query;
  const logits = ropeLogits(input, sizes, data, query, head);
  const latentQuery = absorbQuery(input, sizes, data, query, head);
  if (latentQuery) {
    for (let n = first; n <= position; n++) {
      const latent = rowOffset(latents, pages, n);
      logits[n - first]! += input.scale * dot(latentQuery, 0, latents.values, latent, rank);
    }
  }

  const p = softmax(softCapped(logits, input.softCap));
  const mixed = new Float64Array(rank);
  for (let n = first; n <= position; n++) {
    const latent = rowOffset(latents, pages, n);
    for (let k = 0; k < rank; k++) mixed[k]! += p[n - first]! * latents.values[latent + k]!;
  }
  if (!valueUp) return mixed;

  const up = upBlock(head, input.heads, sizes.valueUpHeads, valueDim);
  return Float64Array.from({ length: valueDim }, (_, v) =>
    dot(valueUp, (up + v) * rank, mixed, 0, rank),
  );
}

/** `U_k^T q_nope`, or `q_nope` itself where there is no up-projection; `undefined` without a position-free part. */
function absorbQuery(
  { heads }: LatentAttention,
  { kvLoraRank: rank, nopeDim, keyUpHeads }: LatentSizes,
  { queryNope, keyUp }: LatentData,
  { row }: Query,
  head: number,
): Float64Array | undefined {
  if (!queryNope) return undefined;
  const start = (row * heads + head) * nopeDim;
  if (!keyUp) return Float64Array.from(queryNope.subarray(start, start + nopeDim));
  const up = upBlock(head, heads, keyUpHeads, nopeDim);
  const absorbed = new Float64Array(rank);
  for (let d = 0; d < nopeDim; d++) {
    for (let k = 0; k < rank; k++) {
      absorbed[k]! += queryNope[start + d]! * keyUp[(up + d) * rank + k]!;
    }
  }
  return absorbed;
}

/** `k_n = U_k c_n`, `v_n = U_v c_n`, then attention over `[k_n ; r_n]` and `v_n`. */
function expandedHead(
  input: LatentAttention,
  sizes: LatentSizes,
  data: LatentData,
  query: Query,
  head: number,
): Float64Array {
  const { kvLoraRank: rank, nopeDim, valueDim } = sizes;
  const { latents, queryNope, keyUp, valueUp } = data;
  const { row, first, position, pages } = query;
  const restore = (up: Float32Array | undefined, upHeads: number, width: number, n: number) => {
    const latent = rowOffset(latents, pages, n);
    if (!up) return Float64Array.from(latents.values.subarray(latent, latent + rank));
    const block = upBlock(head, input.heads, upHeads, width);
    return Float64Array.from({ length: width }, (_, i) =>
      dot(up, (block + i) * rank, latents.values, latent, rank),
    );
  };

  const logits = ropeLogits(input, sizes, data, query, head);
  if (queryNope) {
    const start = (row * input.heads + head) * nopeDim;
    for (let n = first; n <= position; n++) {
      const key = restore(keyUp, sizes.keyUpHeads, nopeDim, n);
      logits[n - first]! += input.scale * dot(queryNope, start, key, 0, nopeDim);
    }
  }
  const p = softmax(softCapped(logits, input.softCap));
  const output = new Float64Array(valueDim);
  for (let n = first; n <= position; n++) {
    const value = restore(valueUp, sizes.valueUpHeads, valueDim, n);
    for (let v = 0; v < valueDim; v++) output[v]! += p[n - first]! * value[v]!;
  }
  return output;
}
