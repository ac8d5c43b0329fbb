import { referenceDevice } from "@transmla/kernels";
import {
  add,
  blockDiagonal,
  complexMatrix,
  identity,
  matrix,
  multiply,
  rowSlice,
  symmetricForm,
  type Matrix,
} from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import {
  randomGroupedWeights,
  randomInputMoment,
  randomMatrix,
  smallAttention,
} from "../../testing";
import type { ExpectedPhases } from "./expected-phase";
import { outputAwareLatent, queryMetric } from "./factorisation";
import { OutputRefit, tokenWeights } from "./output-refit";
import { complexRotations, queryEnergies, type FrequencyRotation } from "./rotations";
import { featureMoments } from "./score-maps";
import { selectRotated, type KeyComponent } from "./selection";
import { splitKeys, splitQueries } from "./split";

const hidden = 20;
const moment = randomInputMoment(hidden, 3);
const { heads, kvHeads, headDim } = smallAttention;
const half = headDim / 2;
const noPhase = { re: new Float64Array(heads * half).fill(1), im: new Float64Array(heads * half) };

function largest(m: Matrix | Float64Array): number {
  return ("data" in m ? m.data : m).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

function difference(a: Matrix, b: Matrix): number {
  return largest(a.data.map((value, i) => value - b.data[i]));
}

describe("selectRotated", () => {
  const unturned = complexMatrix(2, 2, Float64Array.of(1, 0, 0, 1), new Float64Array(4));
  const rotation = (...keyEnergies: number[]): FrequencyRotation => ({
    forward: unturned,
    inverse: unturned,
    keyEnergies: Float64Array.from(keyEnergies),
  });
  const rotations = [rotation(5, 4), rotation(3, 2), rotation(100, 90), rotation(1, 1)];
  const energies = new Float64Array(heads * half).fill(1);

  it("prefers what turns to what is merely strong", () => {
    // Frequency 2 has nearly all the energy but next to nothing of it turns under attention.
    const phases = new Float64Array(heads * half).fill(0.1);
    for (let i = 0; i < heads; i++) phases[i * half + 2] = 1 - 1e-9;
    const select = (selection: boolean) =>
      selectRotated(rotations, energies, phases, smallAttention, 3, { selection });
    expect(select(true)).toEqual([
      { frequency: 0, component: 0 },
      { frequency: 0, component: 1 },
      { frequency: 1, component: 0 },
    ]);
    expect(select(false)).toEqual([
      { frequency: 0, component: 0 },
      { frequency: 2, component: 0 },
      { frequency: 2, component: 1 },
    ]);
  });

  it("ignores components that no query asks for", () => {
    const silent = energies.slice();
    for (let i = 0; i < heads; i++) silent[i * half] = 0;
    const phases = new Float64Array(heads * half);
    const kept = selectRotated(rotations, silent, phases, smallAttention, 6);
    expect(kept.every(({ frequency }) => frequency !== 0)).toBe(true);
  });
});

describe("splitKeys and splitQueries", () => {
  const weights = randomGroupedWeights(smallAttention, hidden, 5);
  const energies = queryEnergies(
    featureMoments(weights.query, smallAttention, moment, false),
    smallAttention,
  );
  const rotations = complexRotations(weights, smallAttention, moment, energies);
  const split = (
    kept: readonly KeyComponent[],
    phases: ExpectedPhases = noPhase,
    steps?: { readonly expectedPhase: boolean },
  ) => ({
    ...splitKeys(weights, smallAttention, rotations, kept),
    ...splitQueries(weights.query, smallAttention, rotations, kept, phases, steps),
  });
  const all = rotations.flatMap((_, frequency) =>
    Array.from({ length: kvHeads }, (__, component) => ({ frequency, component })),
  );

  it("with nothing kept but one pair leaves keys and queries nearly themselves; with all kept nothing is left", () => {
    const everything = split(all);
    expect(largest(everything.nopeKeys)).toBeLessThan(1e-12 * largest(weights.key));
    const one = split(all.slice(0, 1));
    expect(difference(one.queryNope, weights.query)).toBe(0);
    // Only frequency 0 has lost a component.
    for (let row = 0; row < kvHeads * headDim; row++) {
      const start = row * weights.key.columns;
      const rows = [one.nopeKeys, weights.key].map(({ data }) =>
        data.subarray(start, start + weights.key.columns),
      );
      const gap = largest(Float64Array.from(rows[0], (value, x) => value - rows[1][x]));
      if (row % half === 0) expect(gap).toBeGreaterThan(1e-3);
      else expect(gap).toBeLessThan(1e-12);
    }
  });

  /** Real part of `exp(i angle) q conj(k)`. */
  const turned = (qRe: number, qIm: number, angle: number, kRe: number, kIm: number) =>
    (Math.cos(angle) * qRe - Math.sin(angle) * qIm) * kRe +
    (Math.cos(angle) * qIm + Math.sin(angle) * qRe) * kIm;

  it("with the expected phase keeps the logits of a head that looks at one distance only", () => {
    const distance = 3;
    const angles = Array.from(
      { length: heads * half },
      (_, i) => distance * smallAttention.frequencies[i % half],
    );
    const phases = {
      re: Float64Array.from(angles, Math.cos),
      im: Float64Array.from(angles, Math.sin),
    };
    const x = randomMatrix(hidden + 1, 1, 18);
    const y = randomMatrix(hidden + 1, 1, 19);
    const [query, key] = [multiply(weights.query, x).data, multiply(weights.key, y).data];
    const gap = (expectedPhase: boolean) => {
      const parts = split(all.slice(0, 1), phases, { expectedPhase });
      const [q, k] = [multiply(parts.queryNope, x).data, multiply(parts.nopeKeys, y).data];
      const [qRope, kRope] = [multiply(parts.queryRope, x).data, multiply(parts.ropeKey, y).data];
      const gaps = Array.from({ length: heads }, (_, i) => {
        const [qAt, kAt] = [i * headDim, Math.floor((i * kvHeads) / heads) * headDim];
        let original = 0;
        for (let f = 0; f < half; f++) {
          const at = qAt + f;
          original += turned(
            query[at],
            query[at + half],
            angles[f],
            key[kAt + f],
            key[kAt + f + half],
          );
        }
        let converted = turned(qRope[2 * i], qRope[2 * i + 1], angles[0], kRope[0], kRope[1]);
        for (let j = 0; j < headDim; j++) converted += q[qAt + j] * k[kAt + j];
        return Math.abs(converted - original);
      });
      return Math.max(...gaps);
    };
    expect(gap(true)).toBeLessThan(1e-9);
    expect(gap(false)).toBeGreaterThan(1);
  });

  it("keeps the logit at distance 0, whatever is kept", () => {
    const kept = selectRotated(
      rotations,
      energies,
      new Float64Array(heads * half),
      smallAttention,
      3,
    );
    const parts = split(kept);
    const x = randomMatrix(hidden + 1, 1, 8);
    const y = randomMatrix(hidden + 1, 1, 9);
    const before = { q: multiply(weights.query, x).data, k: multiply(weights.key, y).data };
    const qRope = multiply(parts.queryRope, x).data;
    const kRope = multiply(parts.ropeKey, y).data;
    const qNope = multiply(parts.queryNope, x).data;
    const kNope = multiply(parts.nopeKeys, y).data;
    for (let i = 0; i < heads; i++) {
      const group = Math.floor((i * kvHeads) / heads);
      let original = 0;
      let converted = 0;
      for (let j = 0; j < headDim; j++) {
        original += before.q[i * headDim + j] * before.k[group * headDim + j];
        converted += qNope[i * headDim + j] * kNope[group * headDim + j];
      }
      for (let j = 0; j < 6; j++) converted += qRope[i * 6 + j] * kRope[j];
      expect(converted).toBeCloseTo(original, 9);
    }
  });
});

describe("queryMetric", () => {
  it("is the second moment of the position-free queries, summed over the heads of a group", () => {
    const { query } = randomGroupedWeights(smallAttention, hidden, 5);
    const maps = randomMatrix(heads * headDim, headDim, 6);
    const metric = queryMetric(
      maps,
      featureMoments(query, smallAttention, moment, false),
      smallAttention,
    );
    const expected = Array.from({ length: kvHeads }, () => matrix(headDim, headDim));
    for (let i = 0; i < heads; i++) {
      const [start, end] = [i * headDim, (i + 1) * headDim];
      const nope = multiply(rowSlice(maps, start, end), rowSlice(query, start, end));
      const group = Math.floor((i * kvHeads) / heads);
      expected[group] = add(expected[group], symmetricForm(nope, moment));
    }
    const wanted = blockDiagonal(expected);
    expect(difference(blockDiagonal(metric), wanted)).toBeLessThan(1e-10 * largest(wanted));
  });
});

describe("outputAwareLatent", () => {
  const keys = matrix(kvHeads * headDim, hidden + 1);
  const noQueries = [identity(kvHeads * headDim)];

  it("spends nothing on a value mean, however large", () => {
    // Values of rank 3 around a mean of a thousand: without centring the mean would take a direction.
    const weights = randomGroupedWeights(smallAttention, hidden, 12);
    const value = multiply(randomMatrix(16, 3, 13), randomMatrix(3, hidden + 1, 14));
    for (let row = 0; row < 16; row++) value.data[(row + 1) * (hidden + 1) - 1] += 1000 * (row + 1);
    const x = randomMatrix(hidden + 1, 1, 15);
    x.data[hidden] = 1;
    const wanted = multiply(value, x).data;
    const gap = (centring: boolean) => {
      const latent = outputAwareLatent(
        { ...weights, value },
        smallAttention,
        { nopeKeys: keys, keyMetric: noQueries },
        moment,
        3,
        { outputAware: true, centring },
      );
      const restored = multiply(latent.valueUp, multiply(latent.down, x)).data;
      return largest(wanted.map((v, i) => v - restored[i] - latent.valueOffset[i]));
    };
    expect(gap(true)).toBeLessThan(1e-6);
    expect(gap(false)).toBeGreaterThan(0.1);
  });

  it("drops value directions that the output projection ignores", () => {
    const weights = randomGroupedWeights(smallAttention, hidden, 16);
    // Of each head's eight value dimensions only two reach the output.
    for (let row = 0; row < hidden; row++) {
      for (let column = 0; column < heads * headDim; column++) {
        if (column % headDim >= 2) weights.output.data[row * weights.output.columns + column] = 0;
      }
    }
    const x = randomMatrix(hidden + 1, 1, 17);
    x.data[hidden] = 1;
    const wanted = multiply(weights.value, x).data;
    const errors = (outputAware: boolean) => {
      const latent = outputAwareLatent(
        weights,
        smallAttention,
        { nopeKeys: keys, keyMetric: noQueries },
        moment,
        4,
        { outputAware, centring: true },
      );
      const restored = multiply(latent.valueUp, multiply(latent.down, x)).data;
      return wanted.map((v, i) => Math.abs(v - restored[i] - latent.valueOffset[i]));
    };
    const needed = (all: Float64Array) => Math.max(...[0, 1, 8, 9].map((i) => all[i]));
    const found = errors(true);
    expect(needed(found)).toBeLessThan(0.02);
    expect(found[4]).toBeGreaterThan(0.1);
    expect(needed(errors(false))).toBeGreaterThan(0.5);
  });
});

describe("OutputRefit", () => {
  const truth = randomMatrix(5, 9, 21);
  const mixed = randomMatrix(600, 8, 22);

  /** What a projection makes of row `t` of `mixed`. */
  const image = (projection: Matrix, t: number) =>
    Array.from({ length: 5 }, (_, o) => {
      let sum = projection.data[o * 9 + 8];
      for (let j = 0; j < 8; j++) sum += projection.data[o * 9 + j] * mixed.data[t * 8 + j];
      return sum;
    });
  const rows = (first: number, count: number) =>
    Float32Array.from(mixed.data.subarray(first * 8, (first + count) * 8));

  it("finds the projection and bias that made the target, from any start", async () => {
    const foundFrom = async (start: Matrix) => {
      const refit = new OutputRefit(referenceDevice(), 8, 5);
      for (const first of [0, 300]) {
        const target = Array.from({ length: 300 }, (_, t) => image(truth, first + t)).flat();
        await refit.add(rows(first, 300), Float32Array.from(target), new Float64Array(300).fill(1));
      }
      return refit.solve(start);
    };
    // The ridge of 1 % shrinks towards the start, so a start at the truth stays and another comes within 3 %.
    expect(difference(await foundFrom(truth), truth)).toBeLessThan(1e-4);
    const found = await foundFrom(matrix(5, 9));
    expect(difference(found, truth)).toBeLessThan(0.03 * largest(truth));
    expect(difference(found, truth)).toBeGreaterThan(0);
  });

  it("lets no token with a huge residual stream outvote the others", async () => {
    // Every tenth token joins a stream a thousand times as large, and has errors of that size.
    const other = randomMatrix(5, 9, 23);
    const fitted = async (normAware: boolean) => {
      const refit = new OutputRefit(referenceDevice(), 8, 5);
      const target = new Float32Array(600 * 5);
      const stream = new Float32Array(600 * 5);
      for (let t = 0; t < 600; t++) {
        const huge = t % 10 === 0;
        const wanted = image(huge ? other : truth, t).map((value) => (huge ? 1000 : 1) * value);
        target.set(wanted, t * 5);
        stream.fill(huge ? 1000 : 1, t * 5, (t + 1) * 5);
      }
      await refit.add(rows(0, 600), target, tokenWeights(stream, 5, normAware));
      return difference(refit.solve(truth), truth) / largest(truth);
    };
    expect(await fitted(true)).toBeLessThan(0.1);
    expect(await fitted(false)).toBeGreaterThan(1);
  });

  it("weighs a token by one over the mean square of its stream", () => {
    const weights = tokenWeights(Float32Array.of(3, 4, 0, 10), 2, true);
    expect(weights[0]).toBeCloseTo(2 / 25, 12);
    expect(weights[1]).toBeCloseTo(2 / 100, 12);
    expect([...tokenWeights(Float32Array.of(3, 4), 2, false)]).toEqual([1]);
  });
});
