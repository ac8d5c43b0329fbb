/**
 * What every device refuses, and with which code. A device calls the check of an operation before it computes or
 * allocates anything, so bad input leaves no trace and means the same everywhere.
 */
export { checkGroupedAttention, checkLatentAttention } from "./attention";
export type { GroupedSizes, LatentSizes } from "./attention";
export * from "./operations";
export * from "./training";
