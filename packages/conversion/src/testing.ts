import { gram, matrix, transpose, type Matrix } from "@transmla/low-rank";
import type { GroupedAttentionConfig } from "@transmla/models";
import type { GroupedWeights } from "./weights";

/** A generator of standard normal numbers (Box-Muller over a linear congruential generator), for tests. */
export function normal(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

export function randomMatrix(rows: number, columns: number, seed: number): Matrix {
  const next = normal(seed);
  return matrix(rows, columns, Float64Array.from({ length: rows * columns }, next));
}

/** `E[x~ x~^T]` of random inputs, `[hidden + 1, hidden + 1]`. */
export function randomInputMoment(hidden: number, seed: number): Matrix {
  const samples = 8 * hidden;
  const inputs = randomMatrix(samples, hidden + 1, seed);
  for (let row = 0; row < samples; row++) inputs.data[row * (hidden + 1) + hidden] = 1;
  const moment = gram(transpose(inputs));
  return matrix(
    moment.rows,
    moment.columns,
    moment.data.map((value) => value / samples),
  );
}

export const smallAttention: GroupedAttentionConfig = {
  kind: "gqa",
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  frequencies: Float64Array.from([1, 0.5, 0.25, 0.125]),
  scale: 1 / Math.sqrt(8),
  inputBias: true,
  outputBias: false,
};

export function randomGroupedWeights(
  { heads, kvHeads, headDim }: GroupedAttentionConfig,
  hidden: number,
  seed: number,
): GroupedWeights {
  return {
    query: randomMatrix(heads * headDim, hidden + 1, seed),
    key: randomMatrix(kvHeads * headDim, hidden + 1, seed + 1),
    value: randomMatrix(kvHeads * headDim, hidden + 1, seed + 2),
    output: randomMatrix(hidden, heads * headDim + 1, seed + 3),
  };
}
