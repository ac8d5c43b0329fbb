import fc from "fast-check";
import { describe, expect, it } from "vitest";
import golden from "../golden/weighted.json";
import {
  add,
  columnSlice,
  diagonal,
  gram,
  identity,
  matrix,
  multiply,
  multiplyTransposedLeft,
  multiplyTransposedRight,
  scaleColumns,
  symmetricForm,
  trace,
} from "./matrix";
import { squareRoots, symmetricPower } from "./powers";
import { svd } from "./svd";
import { codeOf, distance, orthogonality, randomMatrix, real } from "./test-support";
import { pca, weightedError, weightedLowRank } from "./weighted";

describe("weightedLowRank", () => {
  it.each(golden)("reaches the optimum: $name", (wanted) => {
    const problem = {
      covariance: real(wanted.covariance),
      weight: real(wanted.weight),
      ...(wanted.metric && { metric: real(wanted.metric) }),
    };
    const found = weightedLowRank({ ...problem, rank: wanted.rank });
    expect(weightedError(problem, found)).toBeCloseTo(wanted.error, 9);
    expect(found.keptEnergy).toBeCloseTo(1 - wanted.error / wanted.energy, 12);
    const sum = found.values.reduce((total, value) => total + value ** 2, 0);
    expect(sum / wanted.energy).toBeCloseTo(1, 12);
  });

  it("is beaten by no other factors of its rank (property)", () => {
    const problem = {
      covariance: gram(randomMatrix(7, 10, 1)),
      weight: randomMatrix(6, 7, 2),
      metric: gram(randomMatrix(6, 9, 3)),
    };
    const best = weightedLowRank({ ...problem, rank: 3 });
    const least = weightedError(problem, best);
    fc.assert(
      fc.property(fc.nat(1e6), fc.double({ min: 1e-5, max: 2, noNaN: true }), (seed, size) => {
        const down = add(best.down, randomMatrix(3, 7, seed), size);
        const up = add(best.up, randomMatrix(6, 3, seed + 1), size);
        expect(weightedError(problem, { down, up })).toBeGreaterThanOrEqual(least * (1 - 1e-12));
      }),
    );
    // The unweighted optimum is a worse one here, so the weights do something.
    const up = columnSlice(svd(problem.weight).u, 0, 3);
    const plain = { up, down: multiplyTransposedLeft(up, problem.weight) };
    expect(weightedError(problem, plain)).toBeGreaterThan(1.05 * least);
  });

  it("does not change when inputs and outputs change basis (property)", () => {
    fc.assert(
      fc.property(fc.nat(1e6), (seed) => {
        const [covariance, weight] = [gram(randomMatrix(5, 8, seed)), randomMatrix(6, 5, seed + 1)];
        const metric = gram(randomMatrix(6, 20, seed + 2));
        const [p, q] = [svd(randomMatrix(5, 5, seed + 3)).u, svd(randomMatrix(6, 6, seed + 4)).u];
        const plain = weightedLowRank({ covariance, weight, metric, rank: 2 });
        const turned = weightedLowRank({
          covariance: symmetricForm(p, covariance),
          weight: multiply(q, multiplyTransposedRight(weight, p)),
          metric: symmetricForm(q, metric),
          rank: 2,
        });
        expect(turned.keptEnergy).toBeCloseTo(plain.keptEnergy, 12);
        const back = multiply(multiplyTransposedLeft(q, turned.up), multiply(turned.down, p));
        expect(distance(back, multiply(plain.up, plain.down))).toBeLessThan(1e-9);
      }),
      { numRuns: 20 },
    );
  });

  it("makes uncorrelated latent components with energies values²", () => {
    const covariance = gram(randomMatrix(6, 9, 4));
    const metric = gram(randomMatrix(6, 9, 5));
    const { down, values } = weightedLowRank({ covariance, metric, rank: 4 });
    const latent = symmetricForm(down, covariance);
    expect(distance(latent, diagonal(values.subarray(0, 4).map((x) => x * x)))).toBeLessThan(1e-10);
  });

  it.each([
    // Squared, the sixth value would be lost.
    ["squares while that costs nothing", 0.5],
    ["and not where it would", 0.01],
  ])("agrees with the singular vectors of S^(1/2) W C^(1/2): %s", (_, ratio) => {
    const [outputs, inputs, rank] = [40, 50, 6];
    const q = svd(randomMatrix(inputs, inputs, 10)).u;
    const energies = Float64Array.from({ length: inputs }, (_unused, i) => ratio ** (2 * i));
    const covariance = multiplyTransposedRight(scaleColumns(q, energies), q);
    const metric = gram(randomMatrix(outputs, 80, 11));
    const weight = randomMatrix(outputs, inputs, 12);
    const { down, up, values } = weightedLowRank({ covariance, weight, metric, rank });

    const { root, inverseRoot } = squareRoots(metric);
    const target = multiply(root, weight);
    const wanted = svd(multiply(target, symmetricPower(covariance, 0.5)));
    const errors = values.map((value, i) => Math.abs(value - wanted.values[i]));
    expect(Math.max(...errors.subarray(0, rank))).toBeLessThan(1e-10 * wanted.values[0]);
    expect(Math.abs(values[rank - 1] / wanted.values[rank - 1] - 1)).toBeLessThan(1e-6);
    const leading = columnSlice(wanted.u, 0, rank);
    const projector = multiplyTransposedRight(leading, leading);
    const product = multiply(multiply(inverseRoot, projector), target);
    expect(distance(multiply(up, down), product)).toBeLessThan(1e-6);
  });

  it("refuses an indefinite covariance, at full rank and below half", () => {
    const covariance = diagonal([3, 2, 1, -1]);
    expect(codeOf(() => weightedLowRank({ covariance, rank: 1 }))).toBe("NotPositiveDefinite");
    expect(codeOf(() => weightedLowRank({ covariance, rank: 4 }))).toBe("NotPositiveDefinite");
  });

  it("reproduces W at full rank", () => {
    const weight = randomMatrix(4, 6, 6);
    const covariance = gram(randomMatrix(6, 9, 7));
    const { up, down, keptEnergy } = weightedLowRank({ covariance, weight, rank: 4 });
    expect(distance(multiply(up, down), weight)).toBeLessThan(1e-12);
    expect(keptEnergy).toBe(1);
  });

  it("without weight and metric is PCA", () => {
    const covariance = gram(randomMatrix(8, 12, 8));
    const { up, down, values, keptEnergy } = weightedLowRank({ covariance, rank: 3 });
    const principal = pca(covariance, 3);
    const projector = multiplyTransposedRight(principal.components, principal.components);
    expect(distance(multiply(up, down), projector)).toBeLessThan(1e-11);
    expect(keptEnergy).toBeCloseTo(principal.keptEnergy, 12);
    expect(values[0] ** 2).toBeCloseTo(principal.values[0], 10);
  });

  it("takes singular covariances and metrics", () => {
    const covariance = gram(randomMatrix(6, 2, 9));
    const metric = gram(randomMatrix(6, 3, 10));
    const found = weightedLowRank({ covariance, metric, rank: 2 });
    const scale = trace(multiply(metric, covariance));
    expect(weightedError({ covariance, metric }, found)).toBeLessThan(1e-9 * scale);
    expect(weightedLowRank({ covariance: matrix(2, 2), rank: 1 }).keptEnergy).toBe(1);
  });

  it("refuses ranks and shapes that do not fit", () => {
    const covariance = identity(4);
    for (const rank of [0, 5, 1.5, NaN]) {
      expect(codeOf(() => weightedLowRank({ covariance, rank }))).toBe("RankOutOfRange");
      expect(codeOf(() => pca(covariance, rank))).toBe("RankOutOfRange");
    }
    const weight = matrix(2, 4);
    expect(codeOf(() => weightedLowRank({ covariance, weight, rank: 3 }))).toBe("RankOutOfRange");
    expect(codeOf(() => weightedLowRank({ covariance, weight: matrix(4, 2), rank: 1 }))).toBe(
      "ShapeMismatch",
    );
    expect(
      codeOf(() => weightedLowRank({ covariance, weight, metric: identity(4), rank: 1 })),
    ).toBe("ShapeMismatch");
    expect(codeOf(() => pca(matrix(2, 3), 1))).toBe("ShapeMismatch");
  });
});

describe("pca", () => {
  it("finds the axes of a diagonal second moment", () => {
    const { components, values, keptEnergy } = pca(diagonal([1, 5, 2]), 2);
    expect([...values]).toEqual([5, 2, 1]);
    expect([...components.data].map(Math.abs)).toEqual([0, 0, 1, 0, 0, 1]);
    expect(keptEnergy).toBeCloseTo(7 / 8, 14);
    expect(orthogonality(components)).toBeLessThan(1e-15);
  });
});
