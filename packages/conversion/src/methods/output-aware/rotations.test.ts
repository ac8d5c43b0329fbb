import { complexMultiply, diagonalOf, symmetricForm } from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import { randomGroupedWeights, randomInputMoment, smallAttention } from "../../testing";
import type { GroupedWeights } from "../../weights";
import { roRope } from "../ro-rope";
import { complexRotations, queryEnergies } from "./rotations";
import { featureMoments } from "./score-maps";

const hidden = 20;
const moment = randomInputMoment(hidden, 3);
const { kvHeads, headDim } = smallAttention;

const energiesOf = ({ query }: GroupedWeights) =>
  queryEnergies(featureMoments(query, smallAttention, moment, false), smallAttention);

function rotationsOf(weights: GroupedWeights, steps?: Parameters<typeof complexRotations>[4]) {
  const energies = energiesOf(weights);
  return complexRotations(weights, smallAttention, moment, energies, steps);
}

describe("complexRotations", () => {
  const weights = randomGroupedWeights(smallAttention, hidden, 1);
  const rotations = rotationsOf(weights);

  it("keeps every logit: (T^-1)^T conj(T^H) is the identity", () => {
    for (const { forward, inverse } of rotations) {
      // (T^H k)^H (T^-1 q) = k^H (T T^-1) q
      const adjointForward = {
        rows: kvHeads,
        columns: kvHeads,
        re: forward.re.map((_, i) => forward.re[(i % kvHeads) * kvHeads + Math.floor(i / kvHeads)]),
        im: forward.im.map(
          (_, i) => -forward.im[(i % kvHeads) * kvHeads + Math.floor(i / kvHeads)],
        ),
      };
      const product = complexMultiply(adjointForward, inverse);
      for (let i = 0; i < kvHeads * kvHeads; i++) {
        expect(product.re[i]).toBeCloseTo(i % (kvHeads + 1) === 0 ? 1 : 0, 12);
        expect(product.im[i]).toBeCloseTo(0, 12);
      }
    }
  });

  it("gathers keys that differ by a phase per head, which no real rotation can", () => {
    // k_2 = exp(0.7 i) k_1 at every frequency.
    const turned = randomGroupedWeights(smallAttention, hidden, 2);
    const half = headDim / 2;
    const { columns, data } = turned.key;
    for (let f = 0; f < half; f++) {
      for (let x = 0; x < columns; x++) {
        const [re, im] = [data[f * columns + x], data[(f + half) * columns + x]];
        data[(headDim + f) * columns + x] = Math.cos(0.7) * re - Math.sin(0.7) * im;
        data[(headDim + f + half) * columns + x] = Math.sin(0.7) * re + Math.cos(0.7) * im;
      }
    }
    const ratios = (complex: boolean) =>
      rotationsOf(turned, { complex, queryAware: true }).map(
        ({ keyEnergies }) => keyEnergies[1] / keyEnergies[0],
      );
    for (const ratio of ratios(true)) expect(ratio).toBeLessThan(1e-12);
    for (const ratio of ratios(false)) expect(ratio).toBeGreaterThan(0.1);
    const real = roRope(symmetricForm(turned.key, moment), {
      kvHeads,
      headDim,
      ropeDim: headDim,
      freqFold: 1,
    });
    expect(real.keptEnergy).toBeLessThan(0.95);
  });

  it("puts first what the queries ask for", () => {
    // Queries of the second group are a thousand times stronger: its key becomes the first component.
    const asked = randomGroupedWeights(smallAttention, hidden, 4);
    asked.query.data.fill(0, 0, 2 * headDim * asked.query.columns);
    const shares = (queryAware: boolean) =>
      rotationsOf(asked, { complex: true, queryAware }).map(
        ({ forward }) =>
          (forward.re[1] ** 2 + forward.im[1] ** 2) / (forward.re[0] ** 2 + forward.im[0] ** 2),
      );
    for (const share of shares(true)) expect(share).toBeGreaterThan(1e4);
    // Without the queries the stronger key is first, whoever is asked.
    for (const share of shares(false)) expect(share).toBeLessThan(1e4);
  });

  it("stays finite where no head asks for a frequency", () => {
    const silent = randomGroupedWeights(smallAttention, hidden, 6);
    const { columns, data } = silent.query;
    for (let row = 0; row < silent.query.rows; row++) {
      if (row % (headDim / 2) === 1) data.fill(0, row * columns, (row + 1) * columns);
    }
    for (const { inverse, keyEnergies } of rotationsOf(silent)) {
      for (const value of [...inverse.re, ...inverse.im, ...keyEnergies]) {
        expect(Math.abs(value)).toBeLessThan(1e6);
      }
    }
  });

  it("measures query energy per head and frequency", () => {
    const energies = energiesOf(weights);
    const diagonal = diagonalOf(symmetricForm(weights.query, moment));
    expect(energies[1 * 4 + 2]).toBeCloseTo(diagonal[8 + 2] + diagonal[8 + 6], 10);
  });
});
