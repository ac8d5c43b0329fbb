export { CacheSequence } from "./cache-sequence";
export { LatentCacheError, latentCacheErrors, type LatentCacheErrorCode } from "./errors";
export { PagedCache, type CachePlane, type PagedCacheOptions } from "./paged-cache";
