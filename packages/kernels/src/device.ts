import type { Routing } from "./routing";

/**
 * The one seam between mathematics and hardware.
 *
 * A device owns memory and knows a closed set of operations. It is not a tensor library: there is no broadcasting, no
 * autograd and no data type but float32 for activations. Everything a transformer with grouped or latent attention needs
 * is here and nothing else. No size is zero. Operations are enqueued in program order; only `read` waits. The reference
 * device (`referenceDevice`) defines the results; every other device passes `@transmla/kernels/conformance`.
 */
export interface Device {
  /** Short name for messages and reports: "reference", "cpu", … */
  readonly name: string;

  // Memory -----------------------------------------------------------------------------------------------------------

  /** Uploads activations. `values` has `rows * columns` numbers in row-major order. Throws `ShapeMismatch`, `OutOfMemory`. */
  tensor(values: Float32Array, shape: Shape): Tensor;

  /**
   * Reserves a weight matrix `[rows, columns]`; its rows follow through `writeRows`, so a checkpoint never exists twice in
   * memory. Throws `OutOfMemory`, `UnsupportedStorage`, and `ShapeMismatch` if blocks of the storage do not divide a row.
   */
  weight(shape: Shape, storage: WeightStorage): Weight;

  /** Writes whole rows from row `first` on; `bytes` is little-endian in the weight's storage. Throws `ShapeMismatch`. */
  writeRows(weight: Weight, first: number, bytes: Uint8Array): void;

  /** Reserves the memory of one plane of a cache: `pages` pages of `pageTokens` rows of `width` numbers. Throws `OutOfMemory`. */
  pagePool(layout: PageLayout): PagePool;

  /**
   * Says before anything is read or allocated whether all of `needs` fits beside what the device holds. Throws
   * `OutOfMemory`, naming needed and available bytes. A device that cannot know its room refuses only when it allocates.
   */
  checkRoom(needs: MemoryNeeds): void;

  /**
   * Copies the numbers of a tensor to the host, after everything enqueued before it: into a new array, or into `into`, which must
   * hold exactly as many. Whoever reads large tensors again and again spares the engine their collection. Throws `ShapeMismatch`.
   */
  read(tensor: Tensor, into?: Float32Array): Promise<Float32Array>;

  /**
   * Runs `body`, then releases every tensor created in it except those it returns. Scopes nest; a returned tensor belongs
   * to the enclosing scope. `body` is synchronous because operations only enqueue.
   */
  scope<Result extends Tensor | readonly Tensor[] | void>(body: () => Result): Result;

  /** Releases memory at once. Using a released tensor, weight or pool throws `Released`. */
  release(resource: Tensor | Weight | PagePool): void;

  /** Releases everything. The device cannot be used afterwards. */
  destroy(): void;

  // Operations -------------------------------------------------------------------------------------------------------

  /** `y[t] = factor * table[ids[t]]`, `[tokens, columns]`; `factor` is 1 unless given. Throws `IndexOutOfRange`, `InvalidArgument`. */
  embedding(table: Weight, ids: Int32Array, factor?: number): Tensor;

  /** `y = x W^T + b`: `x [tokens, in]`, `W [out, in]`, `b [1, out]` → `[tokens, out]`. */
  linear(x: Tensor, weight: Weight, bias?: Tensor): Tensor;

  /** `y = a + b`, equal shapes. */
  add(a: Tensor, b: Tensor): Tensor;

  /** `y[t] = x[rows[t]]`. Throws `IndexOutOfRange`. */
  gatherRows(x: Tensor, rows: Int32Array): Tensor;

  /**
   * Root mean square norm over consecutive groups of `weight`'s width (Zhang & Sennrich, arXiv 1910.07467):
   * `y = x / sqrt(mean(x^2) + epsilon) * weight`. `x [tokens, groups * width]`, `weight [1, width]`.
   */
  rmsNorm(x: Tensor, weight: Tensor, epsilon: number): Tensor;

  /** `y = activation(gate) * up`, the gated part of a GLU feed-forward (Shazeer, arXiv 2002.05202). */
  gatedActivation(gate: Tensor, up: Tensor, activation: Activation): Tensor;

  /**
   * Rotary position embedding (Su et al., arXiv 2104.09864) in the half-split layout: in every head the components `f` and
   * `f + ropeDim/2` are one complex number, multiplied by `exp(i * positions[t] * frequency_f)`.
   * `x [tokens, heads * ropeDim]`; see `RopeTable`. Throws `IndexOutOfRange` for a position beyond the table.
   */
  rope(x: Tensor, table: RopeTable, positions: Int32Array): Tensor;

  /**
   * Writes row `t` of `rows [tokens, width]` to row `slots[t]` of the pool, where slot = `page * pageTokens + offset`,
   * rounded to the pool's storage. Of rows for one slot the last stays.
   */
  writePages(pool: PagePool, rows: Tensor, slots: Int32Array): void;

  /** Reads rows of a pool back: `[slots.length, width]`. */
  readPages(pool: PagePool, slots: Int32Array): Tensor;

  /** Copies row `from[i]` to row `to[i]` as it is stored; no slot is in both lists. */
  copyPages(pool: PagePool, from: Int32Array, to: Int32Array): void;

  /** Copies rows to the host as they are stored, one after the other: see `CacheStorage` for their bytes. */
  readStoredPages(pool: PagePool, slots: Int32Array): Promise<Uint8Array>;

  /** Writes rows that `readStoredPages` gave, on whatever device. Throws `ShapeMismatch`, `IndexOutOfRange`. */
  writeStoredPages(pool: PagePool, slots: Int32Array, bytes: Uint8Array): void;

  /** Attention with `kvHeads` shared key/value heads (Ainslie et al., arXiv 2305.13245). See `GroupedAttention`. */
  groupedAttention(input: GroupedAttention): Tensor;

  /** Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1). See `LatentAttention`. */
  latentAttention(input: LatentAttention): Tensor;

  /** Sparse feed-forward of Mixtral (arXiv 2401.04088) or, with `routing`, of DeepSeek. See `MixtureOfExperts`. */
  mixtureOfExperts(input: MixtureOfExperts): Tensor;

  /** `y = cap * tanh(x / cap)`: soft-capping of logits (Gemma 2, arXiv 2408.00118, section 2). Throws `InvalidArgument`. */
  softCap(x: Tensor, cap: number): Tensor;

  /** Index of the largest entry of every row, the first among equals. `[rows, 1]`. */
  argmax(x: Tensor): Tensor;
}

/** A device whose hardware has a clock of its own: what it takes there says nothing of the way there and back. */
export interface TimedDevice extends Device {
  /**
   * Seconds that the hardware takes for what `body` enqueues, from its first command to its last; `undefined` where it cannot tell.
   * Runs what was enqueued before first. `body` is synchronous and reads nothing.
   */
  gpuSeconds(body: () => void): Promise<number | undefined>;
}

/** What somebody is about to put on a device. */
export interface MemoryNeeds {
  readonly weights?: readonly Pick<Weight, "shape" | "storage">[] | undefined;
  readonly tensors?: readonly Shape[] | undefined;
  readonly pools?: readonly PageLayout[] | undefined;
}

/** `[rows, columns]`. Everything on a device is a matrix in row-major order; heads lie side by side in a row. */
export type Shape = readonly [rows: number, columns: number];

/** Activations on a device: float32, row-major. */
export interface Tensor {
  readonly kind: "tensor";
  readonly shape: Shape;
}

/** A matrix of trained parameters on a device, in whatever layout the device prefers. */
export interface Weight {
  readonly kind: "weight";
  readonly shape: Shape;
  readonly storage: WeightStorage;
}

/**
 * Formats in which weights arrive, row by row, and which a device keeps if it can multiply them as they are:
 *
 * - `f32`, `f16`, `bf16`: plain numbers.
 * - `i8`: per row a float32 scale, then one signed byte per column: `w = scale * q`.
 * - `q8_0`, `q4_0`, `q4_1`: blocks of 32 numbers, `q4_k`, `q6_k`: blocks of 256, byte for byte as in GGUF files (ggml's
 *   `block_q8_0` and so on). The number of columns is a multiple of the block.
 *
 * All arithmetic has the precision of float32: a device may round activations to whole numbers of 16 bits per 32 inputs
 * (relative error 1.5e-5 of the largest of them), never to fewer.
 */
export type WeightStorage =
  | "f32"
  | "f16"
  | "bf16"
  | "i8"
  | "q8_0"
  | "q4_0"
  | "q4_1"
  | "q4_k"
  | "q6_k";

/** One plane of a paged cache: keys, values, latents or rotated keys of one layer. */
export interface PagePool extends PageLayout {
  readonly kind: "page-pool";
  readonly storage: CacheStorage;
}

/** Size of a page pool: `pages * pageTokens` rows of `width` numbers. */
export interface PageLayout {
  readonly pages: number;
  readonly pageTokens: number;
  /** At most 16384 unless `storage` is `f32`. */
  readonly width: number;
  /** How rows are kept. Default `f32`. */
  readonly storage?: CacheStorage | undefined;
}

/**
 * Formats of cached rows. What is written is rounded to the nearest number of the format, of two to the even one; what is
 * read is float32 again. `i8` keeps a float32 scale per row, `max |x| / 127`, and a signed byte per number. Rows as they are
 * stored are little-endian, without gaps; a row of `i8` begins with its scale.
 *
 * Attention has the precision of float32 over what the rows hold. Over `i8` rows a device may round queries, and the softmax
 * weights of up to 128 rows times their scales, to whole numbers of 16 bits (relative error 1.5e-5 of the largest of them).
 */
export type CacheStorage = "f32" | "f16" | "bf16" | "i8";

export type Activation = "silu" | "gelu-tanh";

/**
 * Angles of the rotary embedding: `cos` and `sin`, both `[positions, ropeDim / 2]`, of `position * frequency_f`.
 * Built by `ropeTable`.
 */
export interface RopeTable {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * The rows of one sequence within a batch. Its queries are rows `queryStart … queryStart + queryCount - 1` of the query
 * tensor; the cache holds `length` rows for it (those of the queries included), row `n` in page `pages[n / pageTokens]`.
 * Query row `j` stands at position `length - queryCount + j` and sees positions up to its own.
 */
export interface AttentionSequence {
  readonly queryStart: number;
  readonly queryCount: number;
  readonly length: number;
  readonly pages: Int32Array;
}

interface AttentionCommon {
  readonly heads: number;
  /** Factor on the logits, usually `1 / sqrt(headDim)`. */
  readonly scale: number;
  /** Sliding window: a query sees its own position and the `window - 1` before it. Absent: all before it. */
  readonly window?: number | undefined;
  /** Scaled logits are replaced by `softCap * tanh(logit / softCap)` (Gemma 2, arXiv 2408.00118). Absent: they stay. */
  readonly softCap?: number | undefined;
  readonly sequences: readonly AttentionSequence[];
}

/**
 * `o_i = softmax(scale * q_i k_{a(i)}^T) v_{a(i)}` with `a(i) = floor(i * kvHeads / heads)`, causal; see `softCap`.
 * Result `[tokens, heads * valueDim]`, where `valueDim = values.width / kvHeads`.
 */
export interface GroupedAttention extends AttentionCommon {
  /** `[tokens, heads * headDim]`, rotated. */
  readonly query: Tensor;
  /** Width `kvHeads * headDim`, rotated. */
  readonly keys: PagePool;
  /** Width `kvHeads * valueDim`. */
  readonly values: PagePool;
  readonly kvHeads: number;
}

/**
 * With latent `c_n` (`[kvLoraRank]`) and shared rotated key `r_n` (`[ropeDim]`) per cached token:
 *
 *     logit_i,n = scale * (q_nope,i . (U_k,i c_n) + q_rope,i . r_n)
 *     o_i       = U_v,i sum_n softmax(logit_i)_n c_n
 *
 * Up-projections may be shared by groups of heads: a weight of `upHeads` blocks serves head `i` with block
 * `floor(i * upHeads / heads)`. Without `keyUp` the queries are already in the latent space (`nopeDim = kvLoraRank`);
 * without `valueUp` the mixed latents are returned. Result `[tokens, heads * valueDim]`.
 */
export interface LatentAttention extends AttentionCommon {
  /** `[tokens, heads * nopeDim]`. Absent when keys have no position-free part. */
  readonly queryNope?: Tensor | undefined;
  /** `[tokens, heads * ropeDim]`, rotated. Absent when no component keeps its rotation. */
  readonly queryRope?: Tensor | undefined;
  /** Width `kvLoraRank`. */
  readonly latents: PagePool;
  /** Width `ropeDim`, rotated. */
  readonly ropeKeys?: PagePool | undefined;
  /** `[upHeads * nopeDim, kvLoraRank]`, together with `keyUpHeads`. */
  readonly keyUp?: Weight | undefined;
  readonly keyUpHeads?: number | undefined;
  /** `[upHeads * valueDim, kvLoraRank]`, together with `valueUpHeads`. */
  readonly valueUp?: Weight | undefined;
  readonly valueUpHeads?: number | undefined;
  /**
   * `absorbed` multiplies queries and mixed latents by the up-projections and reads each cached row once for all heads;
   * `expanded` restores keys and values of every up-projection head first. Equal results; `auto` lets the device choose.
   */
  readonly way?: AttentionWay | undefined;
}

export type AttentionWay = "auto" | "absorbed" | "expanded";

/**
 * Per token the `topK` experts with the largest router logits (ties: lower index), weighted by the softmax over those
 * logits: `y = sum_e w_e down_e(activation(gate_e x) * up_e x)`.
 */
export interface MixtureOfExperts {
  /** `[tokens, hidden]` */
  readonly x: Tensor;
  /** `[tokens, experts]` */
  readonly routerLogits: Tensor;
  readonly experts: readonly Expert[];
  readonly topK: number;
  readonly activation: Activation;
  /** Other ways to choose and weigh than Mixtral's. */
  readonly routing?: Routing | undefined;
}

/** Weights `gate [ff, hidden]`, `up [ff, hidden]`, `down [hidden, ff]`. */
export interface Expert {
  readonly gate: Weight;
  readonly up: Weight;
  readonly down: Weight;
}
