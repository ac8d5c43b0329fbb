import {
  identity,
  matrix,
  multiply,
  symmetricForm,
  transpose,
  type Matrix,
} from "@transmla/low-rank";
import { ropeFrequencies } from "@transmla/models";
import { describe, expect, it } from "vitest";
import { randomInputMoment } from "../testing";
import { freqFoldCandidates, roRope } from "./ro-rope";

const kvHeads = 3;
const headDim = 8;
const width = kvHeads * headDim;

/** RoPE of the half-split layout over all heads as a matrix, at one position. */
function ropeMatrix(position: number, frequencies: ArrayLike<number>, dims: number): Matrix {
  const m = matrix(dims, dims);
  const half = dims / 2;
  for (let pair = 0; pair < half; pair++) {
    const angle = position * frequencies[pair];
    m.data[pair * dims + pair] = Math.cos(angle);
    m.data[pair * dims + pair + half] = -Math.sin(angle);
    m.data[(pair + half) * dims + pair] = Math.sin(angle);
    m.data[(pair + half) * dims + pair + half] = Math.cos(angle);
  }
  return m;
}

/** The same for heads side by side. */
function headwiseRope(position: number): Matrix {
  const one = ropeMatrix(position, ropeFrequencies(headDim, 10000), headDim);
  const m = matrix(width, width);
  for (let row = 0; row < width; row++) {
    for (let column = 0; column < headDim; column++) {
      const head = Math.floor(row / headDim);
      m.data[row * width + head * headDim + column] = one.data[(row % headDim) * headDim + column];
    }
  }
  return m;
}

function distance(a: Matrix, b: Matrix): number {
  return Math.sqrt(a.data.reduce((sum, value, i) => sum + (value - b.data[i]) ** 2, 0));
}

describe("roRope", () => {
  const moment = randomInputMoment(width - 1, 5);

  it.each([
    [8, 1],
    [8, 2],
    [4, 2],
    [2, 4],
  ])("is orthogonal for ropeDim %i and freqFold %i", (ropeDim, freqFold) => {
    const { rotation } = roRope(moment, { kvHeads, headDim, ropeDim, freqFold });
    expect(distance(multiply(rotation, transpose(rotation)), identity(width))).toBeLessThan(1e-12);
  });

  it("commutes with RoPE when every frequency keeps a rotation of its own", () => {
    const { rotation } = roRope(moment, {
      kvHeads,
      headDim,
      ropeDim: 8,
      freqFold: 1,
    });
    const frequencies = ropeFrequencies(headDim, 10000);
    for (const position of [1, 7, 100]) {
      // Kept rows: rotating the new key is the new key of the rotated keys.
      const kept = matrix(8, width, rotation.data.slice(0, 8 * width));
      const after = multiply(ropeMatrix(position, frequencies, 8), kept);
      expect(distance(after, multiply(kept, headwiseRope(position)))).toBeLessThan(1e-12);
    }
  });

  it("puts keys that differ by a factor per head into one component", () => {
    // k_head = factor_head * u with u random: at every frequency the heads span one direction.
    const factors = [1, -2, 0.5];
    const spread = matrix(width, headDim);
    for (let row = 0; row < width; row++) {
      spread.data[row * headDim + (row % headDim)] = factors[Math.floor(row / headDim)];
    }
    const keyMoment = symmetricForm(spread, randomInputMoment(headDim - 1, 3));
    const { rotation, keptEnergy } = roRope(keyMoment, {
      kvHeads,
      headDim,
      ropeDim: 8,
      freqFold: 1,
    });
    expect(keptEnergy).toBeCloseTo(1, 12);
    const rest = symmetricForm(matrix(width - 8, width, rotation.data.slice(8 * width)), keyMoment);
    expect(Math.max(...rest.data.map(Math.abs))).toBeLessThan(1e-12);
  });

  it("keeps the energy of the leading eigenvalues of every frequency", () => {
    const { rotation, keptEnergy } = roRope(moment, { kvHeads, headDim, ropeDim: 8, freqFold: 1 });
    const rotated = symmetricForm(rotation, moment);
    const energy = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => rotated.data[(from + i) * (width + 1)]).reduce(
        (a, b) => a + b,
      );
    expect(energy(0, 8) / energy(0, width)).toBeCloseTo(keptEnergy, 12);
    // No single head holds as much as the leading component.
    expect(keptEnergy).toBeGreaterThan(1 / kvHeads);
  });
});

describe("freqFoldCandidates", () => {
  it("lists multiples of the collapse that divide half a head", () => {
    expect(freqFoldCandidates(64, 64)).toEqual([1, 2, 4, 8, 16, 32]);
    expect(freqFoldCandidates(64, 16)).toEqual([4, 8, 16, 32]);
    expect(freqFoldCandidates(24, 8)).toEqual([3, 6, 12]);
  });
});
