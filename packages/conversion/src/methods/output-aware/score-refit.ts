import type { Device } from "@transmla/kernels";
import {
  add,
  conjugateGradients,
  gram,
  matrix,
  multiply,
  transpose,
  type Matrix,
} from "@transmla/low-rank";
import { metricRoots } from "../../metric-roots";
import { ScoreOperator, type ScoreEquations, type ScoreShape } from "./score-operator";

/** Eigenvalues of a metric below this part of their mean count as this. */
const FLOOR = 1e-3;

export interface ScoreRefitOptions {
  /** Steps of conjugate gradients. Default 8. */
  readonly iterations?: number | undefined;
  /** Ridge on the change, in whitened coordinates. Default 1e-3. */
  readonly ridge?: number | undefined;
}

/** Query maps that bring a converted attention's logits to the original's. */
export interface FittedScores {
  /** Per head `[width, features]`. */
  readonly maps: readonly Matrix[];
  /** Mean weighted variance of the logits' error within a row, before. */
  readonly before: number;
}

/**
 * Score refit: query maps `G_i` for which the converted logits come closest to the original's,
 *
 *     minimise  sum over i, m, n of p~ (s_original - s_converted - row mean)^2,   p~ = 0.9 p + 0.1 uniform,
 *
 * where `s_converted = scale * rot_m(G_i f_i,m) . rot_n(k_n)` with given keys `k` (RoPE key and latent) and query features `f`. This is
 * linear least squares: the Gauss-Newton step of the softmax's Kullback-Leibler divergence. It is solved by conjugate gradients for all
 * heads side by side, in coordinates whitened by `E[k k^T]^(-1/2)` and `E[f_i f_i^T]^(-1/2)`, starting from `maps`, with a small ridge
 * on the change.
 */
export async function refitScores(
  device: Device,
  shape: ScoreShape,
  sequences: readonly ScoreEquations[],
  maps: readonly Matrix[],
  { iterations = 8, ridge = 1e-3 }: ScoreRefitOptions = {},
): Promise<FittedScores> {
  const operator = new ScoreOperator(device, shape, sequences);
  try {
    const keyRoot = inverseRoot(sequences.map(({ keys }) => keys));
    const queryRoots = maps.map((_, i) =>
      inverseRoot(sequences.map(({ features }) => features[i])),
    );
    const whitened = (m: Matrix, i: number) => multiply(multiply(keyRoot, m), queryRoots[i]);
    const size = operator.width * operator.features;
    const split = (x: Float64Array) =>
      maps.map((_, i) =>
        matrix(operator.width, operator.features, x.subarray(i * size, (i + 1) * size)),
      );
    const { descent, loss } = await operator.descent(maps);
    const change = await conjugateGradients(
      async (x) => {
        const images = await operator.normal(split(x).map(whitened));
        const out = joined(images.map(whitened));
        return out.map((value, at) => value + ridge * x[at]);
      },
      joined(descent.map(whitened)),
      { iterations, systems: maps.length },
    );
    return {
      maps: split(change).map((m, i) => add(maps[i], whitened(m, i))),
      before: loss,
    };
  } finally {
    operator.release();
  }
}

function joined(parts: readonly Matrix[]): Float64Array {
  const size = parts[0].data.length;
  const out = new Float64Array(parts.length * size);
  for (const [i, { data }] of parts.entries()) out.set(data, i * size);
  return out;
}

/** `E[x x^T]^(-1/2)` over the rows of all parts. */
function inverseRoot(parts: readonly Matrix[]): Matrix {
  const n = parts[0].columns;
  let sum = matrix(n, n);
  let rows = 0;
  for (const part of parts) {
    sum = add(sum, gram(transpose(part)));
    rows += part.rows;
  }
  const moment = matrix(
    n,
    n,
    sum.data.map((value) => value / rows),
  );
  return metricRoots(moment, FLOOR).inverseRoot;
}
