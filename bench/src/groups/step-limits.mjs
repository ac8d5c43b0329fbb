/**
 * What one decoded token must at least read and compute, and which of the two takes longer on this machine. Per cached token
 * and layer absorbed MLA takes `heads (2 kvLoraRank + ropeDim)` multiply-adds (DeepSeek-V2, arXiv 2405.04434).
 *
 * @param work `{ attention, layers, context, bytes, cacheBytes }`: config of the attention, bytes of all weights, bytes of a
 *   cached number
 */
export function stepLimits({ attention, layers, context, bytes, cacheBytes }, { limits }) {
  const { heads, kvLoraRank, ropeDim } = attention;
  const flops = 2 * layers * context * heads * (2 * kvLoraRank + ropeDim);
  const cache = layers * context * (kvLoraRank + ropeDim) * cacheBytes;
  const reading = (bytes + cache) / (1e9 * limits.read2.best);
  const computing = (flops + bytes) / (1e9 * arithmetic(limits));
  const binds = reading > computing ? "reading binds" : "arithmetic binds";
  return `least ${ms(reading)} to read, ${ms(computing)} to compute: ${binds}`;
}

/** GFLOP/s of two threads, on the better build that runs here. */
export function arithmetic({ simd2, relaxed2 }) {
  return Math.max(simd2.best ?? 0, relaxed2.best ?? 0);
}

const ms = (seconds) => `${(1e3 * seconds).toFixed(1)} ms`;
