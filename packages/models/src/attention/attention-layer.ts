import type { AttentionSequence, PagePool, RopeTable, Tensor } from "@transmla/kernels";
import type { CachePlane } from "@transmla/latent-cache";

/** What an attention layer needs to know of a batch: where its tokens stand and where their cache rows go. */
export interface AttentionContext {
  /** Position of every token, `[tokens]`. */
  readonly positions: Int32Array;
  /** Cache slot of every token, `[tokens]`. */
  readonly slots: Int32Array;
  readonly sequences: readonly AttentionSequence[];
  /** This layer's pools, in the order of `AttentionLayer.planes`. */
  readonly pools: readonly PagePool[];
  /** Angles that cover all positions of the batch; absent for a layer that rotates nothing. */
  readonly rope: RopeTable | undefined;
}

/** One attention, grouped or latent: `[tokens, hidden]` (normalised) → `[tokens, hidden]` (before the residual sum). */
export interface AttentionLayer {
  /** What it caches per token. */
  readonly planes: readonly CachePlane[];
  forward(x: Tensor, context: AttentionContext): Tensor;
}
