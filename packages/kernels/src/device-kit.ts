/**
 * For those who write a device: the checks that give it the same refusals as every other, the bookkeeping of handles and
 * scopes, and the decoding of stored weights. `conformance` then tells whether it is one.
 */
export {
  cacheStorageOf,
  cacheStorages,
  decodeStoredRow,
  encodeStoredRow,
  roundRow,
  rowScale,
  storedRowBytes,
} from "./cache-storage";
export { makePagePool, makeTensor, makeWeight, Registry, ScopeStack } from "./resources";
export { route } from "./reference/feed-forward";
export { routeExperts } from "./routing";
export { wayOf } from "./cpu/way";
export { blockNumbers, decodeRows, rowBytes, weightStorages } from "./storage";
export * from "./validate";
