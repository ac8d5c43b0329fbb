/** What this version of ours cannot do yet; each of these turns into options of `contenders/ours-model.mjs` when it can. */

/** Weights as 8-bit blocks, kept as they are in the file. */
export const int8Weights = (_spec) => ({ missing: "ours widens 8-bit weights to float32 so far" });

/** 8-bit weights and 8-bit latents in the cache. */
export const int8Latents = (_spec) => ({ missing: "ours has no 8-bit latents so far" });
