import type { GroupedAttentionConfig, LatentAttentionConfig } from "@transmla/models";

/** What every converted attention has from its original: the heads, and how logits become weights. */
export function carriedOver({
  heads,
  scale,
  window,
  softCap,
}: GroupedAttentionConfig): Pick<LatentAttentionConfig, "heads" | "scale" | "window" | "softCap"> {
  return { heads, scale, window, softCap };
}
