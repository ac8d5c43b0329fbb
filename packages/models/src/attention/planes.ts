import type { CachePlane } from "@transmla/latent-cache";
import type { AttentionConfig } from "../config/model-config";

/** What a layer keeps per token: keys and values, or latents and the keys that are rotated. */
export function cachePlanes(attention: AttentionConfig): readonly CachePlane[] {
  if (attention.kind === "gqa") {
    const width = attention.kvHeads * attention.headDim;
    return [
      { name: "keys", width },
      { name: "values", width },
    ];
  }
  const { kvLoraRank, ropeDim } = attention;
  const latents = { name: "latents", width: kvLoraRank };
  return ropeDim > 0 ? [latents, { name: "rope-keys", width: ropeDim }] : [latents];
}

/** Which of the planes holds rotated keys; there may be none of that number. */
export function rotatedPlane({ kind }: AttentionConfig): number {
  return kind === "gqa" ? 0 : 1;
}
