import { matrix, multiply, symmetricForm, type Matrix } from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import { randomInputMoment, randomMatrix } from "../../testing";
import { balanceRotated } from "./balance";

const [PAIRS, HEADS, WIDTH] = [3, 2, 5];

/** Keys whose pairs differ a hundredfold. */
function unbalanced(): { ropeKey: Matrix; queryRope: Matrix; moment: Matrix } {
  const ropeKey = randomMatrix(2 * PAIRS, WIDTH, 1);
  for (let row = 0; row < ropeKey.rows; row++) {
    for (let x = 0; x < WIDTH; x++) ropeKey.data[row * WIDTH + x] *= 10 ** -(row % PAIRS);
  }
  return {
    ropeKey,
    queryRope: randomMatrix(HEADS * 2 * PAIRS, WIDTH, 3),
    moment: randomInputMoment(WIDTH - 1, 2),
  };
}

/** Logit of a head whose query is `distance` tokens behind the key, every pair at a frequency of its own. */
function logit(
  { ropeKey, queryRope }: { ropeKey: Matrix; queryRope: Matrix },
  head: number,
  distance: number,
): number {
  const x = randomMatrix(WIDTH, 1, 4);
  const y = randomMatrix(WIDTH, 1, 5);
  const key = multiply(ropeKey, x).data;
  const query = multiply(queryRope, y).data.subarray(head * 2 * PAIRS, (head + 1) * 2 * PAIRS);
  let sum = 0;
  for (let c = 0; c < PAIRS; c++) {
    const [cos, sin] = [Math.cos(distance / (c + 1)), Math.sin(distance / (c + 1))];
    const [re, im] = [
      query[c] * cos - query[c + PAIRS] * sin,
      query[c] * sin + query[c + PAIRS] * cos,
    ];
    sum += re * key[c] + im * key[c + PAIRS];
  }
  return sum;
}

describe("balanceRotated", () => {
  it("makes all pairs equally strong and keeps the energy of all", () => {
    const { moment, ...weights } = unbalanced();
    const energies = ({ ropeKey }: { ropeKey: Matrix }) => {
      const { data, rows } = symmetricForm(ropeKey, moment);
      const of = (row: number) => data[row * (rows + 1)];
      return Array.from({ length: PAIRS }, (_, c) => of(c) + of(c + PAIRS));
    };
    const before = energies(weights);
    balanceRotated(weights, moment);
    const after = energies(weights);
    const mean = before.reduce((total, value) => total + value, 0) / PAIRS;
    expect(Math.max(...before) / Math.min(...before)).toBeGreaterThan(1e3);
    for (const energy of after) expect(energy / mean).toBeCloseTo(1, 10);
  });

  it("changes no logit at any distance", () => {
    const { moment, ...weights } = unbalanced();
    const balanced = unbalanced();
    balanceRotated(balanced, moment);
    for (let head = 0; head < HEADS; head++) {
      for (const distance of [0, 1, 17]) {
        expect(logit(balanced, head, distance)).toBeCloseTo(logit(weights, head, distance), 12);
      }
    }
  });

  it("leaves a pair alone that is never there", () => {
    const { moment, queryRope } = unbalanced();
    const ropeKey = matrix(2 * PAIRS, WIDTH);
    balanceRotated({ ropeKey, queryRope }, moment);
    expect(ropeKey.data.every((value) => value === 0)).toBe(true);
    expect(queryRope.data).toEqual(unbalanced().queryRope.data);
  });
});
