import type { Activation, MixtureOfExperts } from "../device";
import { routeExperts } from "../routing";
import { softmax } from "./softmax";

/** `silu(x) = x sigmoid(x)`; `gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`. */
export function activate(x: number, activation: Activation): number {
  if (activation === "silu") return x / (1 + Math.exp(-x));
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** `y = x W^T`: `x [tokens, in]`, `weight [out, in]`, sums in float64. */
export function matmul(
  x: ArrayLike<number>,
  weight: Float32Array,
  tokens: number,
  outputs: number,
  inputs: number,
): Float32Array {
  const y = new Float32Array(tokens * outputs);
  for (let t = 0; t < tokens; t++) {
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += x[t * inputs + i]! * weight[o * inputs + i]!;
      y[t * outputs + o] = sum;
    }
  }
  return y;
}

/** Float32 numbers of one expert's weights. */
export interface ExpertData {
  readonly gate: Float32Array;
  readonly up: Float32Array;
  readonly down: Float32Array;
}

export function mixtureOfExperts(
  { x: { shape }, topK, activation, routing }: MixtureOfExperts,
  ff: number,
  x: Float32Array,
  routerLogits: Float32Array,
  experts: readonly ExpertData[],
): Float32Array {
  const [tokens, hidden] = shape;
  const y = new Float64Array(tokens * hidden);
  for (let t = 0; t < tokens; t++) {
    const row = x.subarray(t * hidden, (t + 1) * hidden);
    const logits = routerLogits.subarray(t * experts.length, (t + 1) * experts.length);
    const shares = routing ? routeExperts(logits, topK, routing) : route(logits, topK);
    for (const { index, share } of shares) {
      const expert = experts[index]!;
      const gate = matmul(row, expert.gate, 1, ff, hidden);
      const up = matmul(row, expert.up, 1, ff, hidden);
      const inner = gate.map((g, i) => activate(g, activation) * up[i]!);
      const out = matmul(inner, expert.down, 1, hidden, ff);
      for (let i = 0; i < hidden; i++) y[t * hidden + i]! += share * out[i]!;
    }
  }
  return Float32Array.from(y);
}

/** The `topK` experts with the largest logits (the lower index among equals) and the softmax over those logits. */
export function route(logits: Float32Array, topK: number): { index: number; share: number }[] {
  const chosen = Array.from(logits, (logit, index) => ({ logit, index }))
    .toSorted((a, b) => b.logit - a.logit || a.index - b.index)
    .slice(0, topK);
  const shares = softmax(Float64Array.from(chosen, ({ logit }) => logit));
  return chosen.map(({ index }, i) => ({ index, share: shares[i]! }));
}
