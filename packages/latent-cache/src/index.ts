export { CacheSequence } from "./cache-sequence";
export { LatentCacheError, latentCacheErrors, type LatentCacheErrorCode } from "./errors";
export { PagedCache, type PagedCacheOptions } from "./paged-cache";
export { bytesPerToken, type CachePlane, type PlaneStorage } from "./planes";
export { readSnapshot, saveSequence, type Snapshot } from "./snapshot";
export type { SequenceStore, StoredSequence } from "./store";
