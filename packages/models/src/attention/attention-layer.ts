import type { AttentionSequence, AttentionWay, PagePool, Tensor } from "@transmla/kernels";
import type { CachePlane } from "@transmla/latent-cache";
import type { Rotations } from "../rotations";

/** What an attention layer needs to know of a batch: where its tokens stand and where their cache rows go. */
export interface AttentionContext {
  /** Cache slot of every token, `[tokens]`. */
  readonly slots: Int32Array;
  readonly sequences: readonly AttentionSequence[];
  /** This layer's pools, in the order of `AttentionLayer.planes`. */
  readonly pools: readonly PagePool[];
  readonly rotations: Rotations;
  /** How latent attention is computed (default `auto`); equal results but for the last bits. */
  readonly way?: AttentionWay | undefined;
}

/**
 * A part of what logits are made of: `logit_i,n = scale * sum_parts q_i . k_{a(i),n}` with `a(i) = floor(i * groups / heads)`.
 */
export interface ScorePart {
  /** `[tokens, heads * width]` */
  readonly query: Tensor;
  /** `[length, groups * width]`, of every cached row of the sequence. */
  readonly keys: Tensor;
  readonly groups: number;
}

/** One attention, grouped or latent: `[tokens, hidden]` (normalised) → `[tokens, hidden]` (before the residual sum). */
export interface AttentionLayer {
  /** What it caches per token. */
  readonly planes: readonly CachePlane[];
  /** The heads' outputs before the output projection, `[tokens, heads * valueDim]`. Writes the batch's rows into the cache. */
  mix(x: Tensor, context: AttentionContext): Tensor;
  /** The output projection: `[tokens, heads * valueDim]` → `[tokens, hidden]`. */
  output(mixed: Tensor): Tensor;
  /**
   * What the logits of a batch of one sequence are made of, its rows being in the cache. For looking inside: nothing else computes
   * from it.
   */
  scoreParts(x: Tensor, context: AttentionContext): readonly ScorePart[];
  /** `output` of `mix`. */
  forward(x: Tensor, context: AttentionContext): Tensor;
}
