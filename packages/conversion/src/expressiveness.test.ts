import {
  matrix,
  multiply,
  multiplyTransposedLeft,
  rowSlice,
  columnSlice,
  svd,
  type Matrix,
} from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import { exactLatent } from "./methods/exact";
import { stackRows } from "./methods/joint-compression";
import { randomGroupedWeights, randomMatrix, smallAttention } from "./testing";

/*
 * Why the converse of the exact construction is false.
 *
 * At distance 0 (where rotations cancel) head i of any attention computes logits x_m^T A_i x_n and adds values B_i x_n,
 * with bilinear forms A_i and linear maps B_i, all [hidden, hidden]. Whatever its heads are, grouped attention derives every
 * A_i from the keys it caches and every B_i from the values it caches, so
 *
 *     rank [A_1; …; A_h] <= cached key numbers,   rank [B_1; …; B_h] <= cached value numbers,
 *
 * and the two ranks together are at most its cache, for every choice of groups and head sizes. Latent attention derives both
 * from one latent: both ranks can reach kvLoraRank while the cache is kvLoraRank + ropeDim.
 */

const hidden = 48;

/** Rank with a threshold far above rounding and far below any direction that matters here. */
function rank(m: Matrix): number {
  const { values } = svd(m);
  return values.filter((value) => value > 1e-9 * values[0]).length;
}

/** Rows of head `i` of `a`, transposed, times rows of head `j` of `b`: `[hidden, hidden]`. */
function form(a: Matrix, i: number, b: Matrix, j: number, dim: number): Matrix {
  const left = rowSlice(a, i * dim, (i + 1) * dim);
  return multiplyTransposedLeft(left, rowSlice(b, j * dim, (j + 1) * dim));
}

const withoutBias = (m: Matrix) => columnSlice(m, 0, m.columns - 1);

/** Joint ranks of the key and value maps of a latent attention. */
function latentRanks(parts: {
  heads: number;
  queryNope?: Matrix;
  queryRope: Matrix;
  keyUp?: Matrix;
  ropeKey: Matrix;
  latent: Matrix;
  valueUp: Matrix;
  upHeads: number;
  output: Matrix;
}): { keys: number; values: number } {
  const { heads, queryNope, queryRope, keyUp, ropeKey, latent, valueUp, upHeads, output } = parts;
  const valueDim = output.columns / heads;
  const keyForms: Matrix[] = [];
  const valueMaps: Matrix[] = [];
  for (let i = 0; i < heads; i++) {
    const up = Math.floor((i * upHeads) / heads);
    keyForms.push(form(queryRope, i, ropeKey, 0, ropeKey.rows));
    if (queryNope && keyUp) {
      const nope = multiply(form(queryNope, i, keyUp, up, keyUp.rows / upHeads), latent);
      nope.data.forEach((value, index) => (keyForms[i].data[index] += value));
    }
    const values = multiply(rowSlice(valueUp, up * valueDim, (up + 1) * valueDim), latent);
    valueMaps.push(multiply(columnSlice(output, i * valueDim, (i + 1) * valueDim), values));
  }
  return { keys: rank(stackRows(...keyForms)), values: rank(stackRows(...valueMaps)) };
}

describe("grouped and latent attention with the same cache", () => {
  const { heads, kvHeads, headDim } = smallAttention;
  const cache = 2 * kvHeads * headDim;

  it("grouped attention written as latent attention uses exactly its cache", () => {
    const weights = exactLatent(randomGroupedWeights(smallAttention, hidden, 1), smallAttention);
    const ranks = latentRanks({
      heads,
      queryRope: withoutBias(weights.queryRope as Matrix),
      ropeKey: withoutBias(weights.ropeKey as Matrix),
      latent: withoutBias(weights.latent),
      valueUp: weights.valueUp,
      upHeads: kvHeads,
      output: withoutBias(weights.output),
    });
    expect(ranks).toEqual({ keys: kvHeads * headDim, values: kvHeads * headDim });
    expect(ranks.keys + ranks.values).toBe(cache);
  });

  it.each([
    { ropeDim: 8, seed: 1 },
    { ropeDim: 4, seed: 2 },
    // As much for rotated keys as in the exact construction: the latent still serves keys and values.
    { ropeDim: cache / 2, seed: 3 },
  ])(
    "random latent attention with ropeDim $ropeDim needs more cache as grouped attention",
    ({ ropeDim, seed }) => {
      const kvLoraRank = cache - ropeDim;
      const ranks = latentRanks({
        heads,
        queryNope: randomMatrix(heads * headDim, hidden, seed),
        queryRope: randomMatrix(heads * ropeDim, hidden, seed + 10),
        keyUp: randomMatrix(heads * headDim, kvLoraRank, seed + 20),
        ropeKey: randomMatrix(ropeDim, hidden, seed + 30),
        latent: randomMatrix(kvLoraRank, hidden, seed + 40),
        valueUp: randomMatrix(heads * headDim, kvLoraRank, seed + 50),
        upHeads: heads,
        output: randomMatrix(hidden, heads * headDim, seed + 60),
      });
      expect(ranks.values).toBe(kvLoraRank);
      expect(ranks.keys).toBe(kvLoraRank + ropeDim);
      expect(ranks.keys + ranks.values).toBeGreaterThan(cache);
    },
  );

  it("the part that no grouped attention of this cache reaches is large", () => {
    // Eckart-Young: with w numbers for keys, at least the energy beyond the w leading singular values is lost, and likewise
    // for values. Even the best split of the cache loses 3 % of one of the two.
    const ropeDim = 8;
    const kvLoraRank = cache - ropeDim;
    const keys = multiply(
      randomMatrix(heads * headDim, kvLoraRank, 7),
      randomMatrix(kvLoraRank, hidden, 8),
    );
    const values = multiply(
      randomMatrix(heads * headDim, kvLoraRank, 9),
      randomMatrix(kvLoraRank, hidden, 10),
    );
    const losses = Array.from({ length: cache + 1 }, (_, width) =>
      Math.max(lostEnergy(keys, width), lostEnergy(values, cache - width)),
    );
    expect(Math.min(...losses)).toBeGreaterThan(0.03);
    expect(lostEnergy(keys, kvLoraRank)).toBeLessThan(1e-20);
  });
});

/** Part of the squared singular values beyond the `width` largest. */
function lostEnergy(m: Matrix, width: number): number {
  const squares = Array.from(svd(m).values, (value) => value ** 2);
  const total = squares.reduce((a, b) => a + b, 0);
  return squares.slice(width).reduce((a, b) => a + b, 0) / total;
}

/** Guards the helper itself: a matrix of known rank. */
it("rank counts independent directions", () => {
  expect(rank(multiply(randomMatrix(9, 4, 1), randomMatrix(4, 7, 2)))).toBe(4);
  expect(rank(matrix(2, 2, [1, 0, 0, 1]))).toBe(2);
});
