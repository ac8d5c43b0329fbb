import type { AttentionConfig } from "../config/model-config";

/** See `ScorePart`, of one query. */
export interface HostScorePart {
  /** `[heads * width]` */
  readonly query: Float32Array;
  /** `[length, groups * width]` */
  readonly keys: Float32Array;
  readonly groups: number;
}

/**
 * Softmax of the last token's logits in every head, in float64: `[heads, length]`. The device's attention gives the values these
 * weights; it does not give the weights themselves away.
 */
export function lastTokenWeights(
  parts: readonly HostScorePart[],
  {
    heads,
    scale,
    window,
    softCap,
  }: Pick<AttentionConfig, "heads" | "scale" | "window" | "softCap">,
  length: number,
): Float32Array {
  const weights = new Float32Array(heads * length);
  const first = window === undefined ? 0 : Math.max(0, length - window);
  for (let head = 0; head < heads; head++) {
    const logits = Float64Array.from({ length: length - first }, (_, i) => {
      const logit =
        scale * parts.reduce((sum, part) => sum + score(part, head, heads, first + i), 0);
      return softCap === undefined ? logit : softCap * Math.tanh(logit / softCap);
    });
    const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
    const exponentials = logits.map((logit) => Math.exp(logit - largest));
    const sum = exponentials.reduce((a, b) => a + b, 0);
    for (const [i, value] of exponentials.entries())
      weights[head * length + first + i] = value / sum;
  }
  return weights;
}

/** `q_i . k_{a(i),n}` */
function score({ query, keys, groups }: HostScorePart, head: number, heads: number, n: number) {
  const width = query.length / heads;
  const group = Math.floor((head * groups) / heads);
  let sum = 0;
  for (let d = 0; d < width; d++) {
    sum += query[head * width + d]! * keys[(n * groups + group) * width + d]!;
  }
  return sum;
}
