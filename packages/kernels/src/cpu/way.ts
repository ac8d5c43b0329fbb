import type { AttentionSequence, LatentAttention } from "../device";
import type { LatentSizes } from "../validate";
import { firstSeen } from "./attention-state";

/** What a machine can do at most, as this device reaches it (Williams et al., "Roofline", CACM 2009). */
export interface MachineLimits {
  /** Bytes per second read from memory beyond the caches. */
  readonly bandwidth: number;
  /** Floating-point operations per second of a large product, two per multiply-add. */
  readonly gemm: number;
}

/**
 * What is assumed of a machine that nobody measured: fixed numbers, so that the same call always takes the same way. Two
 * threads read 1.4 times as fast as one, and compute twice as fast.
 */
export function assumedLimits(threads: number): MachineLimits {
  return { bandwidth: 17e9 * Math.sqrt(threads), gemm: 40e9 * threads };
}

/** A step of a way. */
interface Stage {
  /** Read from memory at least. */
  readonly bytes: number;
  readonly multiplyAdds: number;
}

/** The way that takes less time at the machine's limits, unless the caller chose. */
export function wayOf(
  input: LatentAttention,
  sizes: LatentSizes,
  sequence: AttentionSequence,
  limits: MachineLimits,
): "absorbed" | "expanded" {
  const { way = "auto" } = input;
  if (way !== "auto") return way;
  const { absorbed, expanded } = waySeconds(input, sizes, sequence, limits);
  return absorbed <= expanded ? "absorbed" : "expanded";
}

/** Least seconds of both ways for one sequence: every stage takes the longer of reading and computing. */
export function waySeconds(
  { heads, window }: LatentAttention,
  { kvLoraRank: rank, nopeDim, ropeDim, valueDim, keyUpHeads, valueUpHeads }: LatentSizes,
  sequence: AttentionSequence,
  { bandwidth, gemm }: MachineLimits,
): { absorbed: number; expanded: number } {
  const { queryCount, length } = sequence;
  const seen = Math.min(length - (queryCount - 1) / 2, window ?? Infinity);
  const pairs = heads * queryCount * seen;
  const rows = length - firstSeen(sequence, window);
  const restored = keyUpHeads * nopeDim + valueUpHeads * valueDim;
  // Up-projections of 16 bits, cached and restored rows of 32.
  const upBytes = 2 * rank * restored;
  const cacheBytes = 4 * rows * (rank + ropeDim);
  const total = (stages: readonly Stage[]) =>
    stages.reduce(
      (sum, { bytes, multiplyAdds }) =>
        sum + Math.max(bytes / bandwidth, (2 * multiplyAdds) / gemm),
      0,
    );
  return {
    absorbed: total([
      {
        bytes: upBytes,
        multiplyAdds:
          heads * queryCount * rank * ((keyUpHeads && nopeDim) + (valueUpHeads && valueDim)),
      },
      { bytes: cacheBytes, multiplyAdds: pairs * ((nopeDim > 0 ? rank : 0) + ropeDim + rank) },
    ]),
    expanded: total([
      { bytes: upBytes + cacheBytes, multiplyAdds: rows * rank * restored },
      { bytes: 4 * rows * restored, multiplyAdds: pairs * (nopeDim + ropeDim + valueDim) },
    ]),
  };
}
