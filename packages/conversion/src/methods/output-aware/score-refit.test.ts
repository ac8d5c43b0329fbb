import { referenceDevice } from "@transmla/kernels";
import { add, matrix, multiplyTransposedRight, type Matrix } from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import golden from "../../../golden/score-refit.json";
import { inOrder } from "../../calibration-positions";
import { randomMatrix, smallAttention } from "../../testing";
import type { ScoreEquations } from "./score-operator";
import { refitScores } from "./score-refit";
import {
  anglesOf,
  measuredTokens,
  rotateRows,
  scoreSample,
  type MeasuredQueries,
} from "./score-samples";

const { heads, kvHeads, headDim, frequencies, scale } = smallAttention;
const shape = { heads, scale, frequencies: frequencies.subarray(0, 2) };
const [width, features] = [7, 5];

/** Positions that leave out seven in the middle. */
const withGap = (length: number) =>
  Int32Array.from({ length }, (_, n) => (n < length / 2 ? n : n + 7));

/** Logits of one head of a converted attention, computed pair by pair. */
function logitsOf(
  map: Matrix,
  queryFeatures: Matrix,
  keys: Matrix,
  { measured, positions }: MeasuredQueries,
): Matrix {
  const query = multiplyTransposedRight(queryFeatures, map);
  const places = measured.map((token) => positions[token]);
  rotateRows(query, anglesOf(places, shape.frequencies));
  const rotated = matrix(keys.rows, width, keys.data.slice());
  rotateRows(rotated, anglesOf(positions, shape.frequencies));
  const product = multiplyTransposedRight(query, rotated);
  return matrix(
    product.rows,
    product.columns,
    product.data.map((value) => scale * value),
  );
}

/** A sequence whose scores some maps reproduce exactly, up to a constant per row. */
function solvable(truth: readonly Matrix[], length: number, seed: number): ScoreEquations {
  const measured = Int32Array.from({ length: length / 2 }, (_, index) => 2 * index + 1);
  const positions = withGap(length);
  const keys = randomMatrix(length, width, seed);
  const queries = truth.map((_, i) => randomMatrix(measured.length, features, seed + 1 + i));
  const scores = new Float32Array(heads * measured.length * length);
  const weights = new Float32Array(scores.length);
  for (const [i, map] of truth.entries()) {
    const logits = logitsOf(map, queries[i], keys, { measured, positions }).data;
    for (const [row, token] of measured.entries()) {
      for (let n = 0; n <= token; n++) {
        const at = (i * measured.length + row) * length + n;
        scores[at] = logits[row * length + n] + 10 * row;
        weights[at] = 1 / (token + 1);
      }
    }
  }
  return { measured, positions, scores, weights, features: queries, keys };
}

const distance = (a: readonly Matrix[], b: readonly Matrix[]) =>
  Math.max(...a.flatMap((m, i) => [...add(m, b[i], -1).data].map(Math.abs)));

describe("refitScores", () => {
  const truth = Array.from({ length: heads }, (_, i) => randomMatrix(width, features, 40 + i));
  const sequences = [solvable(truth, 24, 50), solvable(truth, 30, 60)];
  const start = truth.map((m, i) => add(m, randomMatrix(width, features, 70 + i), 0.5));

  it("finds the maps that made the scores, whatever constant each row carries", async () => {
    const options = { iterations: 60, ridge: 0 };
    const { maps, before } = await refitScores(referenceDevice(), shape, sequences, start, options);
    expect(before).toBeGreaterThan(0.01);
    expect(distance(start, truth)).toBeGreaterThan(0.5);
    expect(distance(maps, truth)).toBeLessThan(1e-3);
    const again = await refitScores(referenceDevice(), shape, sequences, maps);
    expect(again.before).toBeLessThan(1e-6 * before);
  });

  it("comes most of the way in the few steps that a conversion takes", async () => {
    const { maps, before } = await refitScores(referenceDevice(), shape, sequences, start);
    const again = await refitScores(referenceDevice(), shape, sequences, maps);
    expect(again.before).toBeLessThan(0.05 * before);
  });

  it("takes the steps of a dense reference (tools/golden/score_refit.py)", async () => {
    const { heads: count, length, queryFeatures, positions } = golden;
    const perHead = (values: readonly number[], rows: number, columns: number) =>
      Array.from({ length: count }, (_, i) =>
        matrix(rows, columns, values.slice(i * rows * columns, (i + 1) * rows * columns)),
      );
    const sequence = {
      measured: Int32Array.from(positions),
      positions: inOrder(length),
      scores: Float32Array.from(golden.scores),
      weights: Float32Array.from(golden.weights),
      features: perHead(queryFeatures, positions.length, golden.features),
      keys: matrix(length, golden.width, golden.keys),
    };
    const { maps, before } = await refitScores(
      referenceDevice(),
      { heads: count, scale: golden.scale, frequencies: Float64Array.from(golden.frequencies) },
      [sequence],
      perHead(golden.start, golden.width, golden.features),
      { iterations: golden.iterations, ridge: golden.ridge },
    );
    expect(before).toBeCloseTo(golden.before, 4);
    expect(distance(maps, perHead(golden.maps, golden.width, golden.features))).toBeLessThan(1e-4);
  });

  it("stays where a large ridge holds it", async () => {
    const held = await refitScores(referenceDevice(), shape, sequences, start, { ridge: 1e9 });
    expect(distance(held.maps, start)).toBeLessThan(1e-6);
  });
});

describe("scoreSample", () => {
  const query = randomMatrix(2, heads * headDim, 80);
  const key = randomMatrix(6, kvHeads * headDim, 81);
  const measured = Int32Array.of(2, 5);

  it("is the attention of the original: log-probabilities and weights of each row", () => {
    const positions = withGap(6);
    const { scores, weights } = scoreSample(smallAttention, query, key, { measured, positions });
    for (let i = 0; i < heads; i++) {
      for (const [row, token] of measured.entries()) {
        const logits = Array.from({ length: token + 1 }, (_, n) => {
          let logit = 0;
          for (let f = 0; f < headDim / 2; f++) {
            const q = row * heads * headDim + i * headDim + f;
            const k = (n * kvHeads + Math.floor(i / 2)) * headDim + f;
            const angle = (positions[token] - positions[n]) * frequencies[f];
            const [qr, qi] = [query.data[q], query.data[q + headDim / 2]];
            const [kr, ki] = [key.data[k], key.data[k + headDim / 2]];
            // Re conj(k) q exp(i angle)
            logit += (kr * qr + ki * qi) * Math.cos(angle) - (kr * qi - ki * qr) * Math.sin(angle);
          }
          return scale * logit;
        });
        const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
        for (let n = 0; n < 6; n++) {
          const at = (i * 2 + row) * 6 + n;
          const seen = n <= token;
          const p = seen ? Math.exp(logits[n]) / total : 0;
          expect(scores[at]).toBeCloseTo(seen ? Math.log(p) : 0, 5);
          expect(weights[at]).toBeCloseTo(seen ? 0.9 * p + 0.1 / (token + 1) : 0, 6);
        }
      }
    }
  });

  it("weighs under a soft cap by capped attention and the cap's slope, and keeps the logits", () => {
    const still = { heads: 1, kvHeads: 1, headDim: 2, frequencies: Float64Array.of(0), scale: 1 };
    const logits = [-3, 0.5, 2];
    const keys = matrix(3, 2, Float64Array.from(logits.flatMap((logit) => [logit, 0])));
    const one = matrix(1, 2, Float64Array.of(1, 0));
    const { scores, weights } = scoreSample(
      { ...smallAttention, ...still, softCap: 1.5 },
      one,
      keys,
      { measured: Int32Array.of(2), positions: inOrder(3) },
    );
    const tanh = logits.map((logit) => Math.tanh(logit / 1.5));
    const total = tanh.reduce((sum, t) => sum + Math.exp(1.5 * t), 0);
    const counted = tanh.map(
      (t) => (0.9 * (Math.exp(1.5 * t) / total) + 0.1 / 3) * (1 - t * t) ** 2,
    );
    const sum = counted.reduce((a, b) => a + b);
    for (let n = 0; n < 3; n++) {
      expect(scores[n] - scores[0]).toBeCloseTo(logits[n] - logits[0], 5);
      expect(weights[n]).toBeCloseTo(counted[n] / sum, 6);
    }
  });

  it("sees no further back than a sliding window", () => {
    const { weights } = scoreSample({ ...smallAttention, window: 2 }, query, key, {
      measured,
      positions: inOrder(6),
    });
    const row = weights.subarray(6, 12);
    expect([...row.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
    expect(row[4] + row[5]).toBeCloseTo(1, 6);
  });
});

describe("measuredTokens", () => {
  it("spreads four thousand queries over all sequences, to the end of each", () => {
    const tokens = measuredTokens(256, { heads: 9, sequences: 64 });
    expect(tokens).toHaveLength(64);
    expect(tokens[0]).toBe(3);
    expect(tokens.at(-1)).toBe(255);
  });

  it("takes every token of a short text and fewer of one with many pairs", () => {
    expect(measuredTokens(8, { heads: 9, sequences: 2 })).toHaveLength(8);
    expect(measuredTokens(4096, { heads: 64, sequences: 1 })).toHaveLength(64);
  });
});
