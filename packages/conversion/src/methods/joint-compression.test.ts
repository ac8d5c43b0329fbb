import { matrix, multiply, symmetricForm, trace, type Matrix } from "@transmla/low-rank";
import { describe, expect, it } from "vitest";
import { randomInputMoment, randomMatrix } from "../testing";
import { balanceRatio, fullLatent, jointCompression, lowRankQuery } from "./joint-compression";

const hidden = 12;
const moment = randomInputMoment(hidden, 2);

function subtract(a: Matrix, b: Matrix): Matrix {
  return matrix(
    a.rows,
    a.columns,
    a.data.map((value, i) => value - b.data[i]),
  );
}

/** `E|(a - b) x~|^2` */
function error(a: Matrix, b: Matrix): number {
  return trace(symmetricForm(subtract(a, b), moment));
}

describe("jointCompression", () => {
  it("restores keys and values that share a low-rank latent exactly", () => {
    const latent = randomMatrix(3, hidden + 1, 4);
    const keys = multiply(randomMatrix(10, 3, 5), latent);
    const values = multiply(randomMatrix(6, 3, 6), latent);
    const { down, keyUp, valueUp, keptEnergy } = jointCompression(keys, values, moment, 3);
    expect(error(multiply(keyUp, down), keys)).toBeLessThan(
      1e-18 * error(keys, multiply(keys, matrix(13, 13))),
    );
    expect(error(multiply(valueUp, down), values)).toBeLessThan(1e-18);
    expect(keptEnergy).toBeCloseTo(1, 12);
  });

  it("is not swayed by the scale of the keys: balance gives both their share", () => {
    const keys = randomMatrix(10, hidden + 1, 7);
    const values = randomMatrix(6, hidden + 1, 8);
    const large = matrix(
      10,
      hidden + 1,
      keys.data.map((value) => 1000 * value),
    );
    const plain = jointCompression(keys, values, moment, 5);
    const scaled = jointCompression(large, values, moment, 5);
    const valueError = error(multiply(plain.valueUp, plain.down), values);
    expect(error(multiply(scaled.valueUp, scaled.down), values)).toBeCloseTo(valueError, 8);
    expect(scaled.keptEnergy).toBeCloseTo(plain.keptEnergy, 10);
  });

  it("loses exactly the energy it reports", () => {
    const keys = randomMatrix(10, hidden + 1, 9);
    const values = randomMatrix(10, hidden + 1, 10);
    const { down, keyUp, valueUp, keptEnergy } = jointCompression(keys, values, moment, 6);
    // Undo the balance to measure in the balanced metric.
    const norm = (m: Matrix) => {
      const form = symmetricForm(m, moment);
      return (
        Array.from({ length: m.rows }, (_, i) => Math.sqrt(form.data[i * (m.rows + 1)])).reduce(
          (a, b) => a + b,
        ) / m.rows
      );
    };
    const ratio = norm(keys) / norm(values);
    const zero = (m: Matrix) => matrix(m.rows, m.columns);
    const lost =
      error(multiply(keyUp, down), keys) / ratio ** 2 + error(multiply(valueUp, down), values);
    const all = error(keys, zero(keys)) / ratio ** 2 + error(values, zero(values));
    expect(1 - lost / all).toBeCloseTo(keptEnergy, 10);
  });

  it("handles keys that are all zero", () => {
    const values = randomMatrix(6, hidden + 1, 11);
    const { down, valueUp } = jointCompression(matrix(10, hidden + 1), values, moment, 6);
    expect(error(multiply(valueUp, down), values)).toBeLessThan(1e-18);
  });
});

describe("balanceRatio", () => {
  const values = randomMatrix(6, hidden + 1, 11);
  const keys = randomMatrix(10, hidden + 1, 16);
  const noise = matrix(
    10,
    hidden + 1,
    keys.data.map((value) => 1e-8 * value),
  );

  it("does not make as large as the values what is only rounding", () => {
    const restored = (rounding: number) => {
      const ratio = balanceRatio(noise, values, moment, rounding);
      const { down, valueUp } = jointCompression(noise, values, moment, 6, ratio);
      return error(multiply(valueUp, down), values);
    };
    expect(restored(1e-6)).toBeLessThan(1e-12);
    expect(restored(0)).toBeGreaterThan(0.1);
  });

  it("balances keys above it", () => {
    const ratio = balanceRatio(keys, values, moment);
    expect(balanceRatio(keys, values, moment, 1e-6)).toBe(ratio);
    expect(ratio).not.toBe(1);
  });
});

describe("fullLatent", () => {
  it("is keys and values themselves", () => {
    const keys = randomMatrix(4, hidden + 1, 12);
    const values = randomMatrix(3, hidden + 1, 13);
    const { down, keyUp, valueUp } = fullLatent(keys, values);
    expect(multiply(keyUp, down).data).toEqual(keys.data);
    expect(multiply(valueUp, down).data).toEqual(values.data);
  });
});

describe("lowRankQuery", () => {
  it("restores queries of low rank", () => {
    const query = multiply(randomMatrix(16, 4, 14), randomMatrix(4, hidden + 1, 15));
    for (let row = 0; row < 16; row++) query.data[row * (hidden + 1) + hidden] = 0;
    const { basis, down } = lowRankQuery(query, moment, 4);
    const restored = multiply(basis, down);
    for (let row = 0; row < 16; row++) {
      for (let column = 0; column < hidden; column++) {
        expect(restored.data[row * hidden + column]).toBeCloseTo(
          query.data[row * (hidden + 1) + column],
          9,
        );
      }
    }
  });
});
