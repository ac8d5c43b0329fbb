import {
  columnSlice,
  conjugateGradients,
  eigh,
  matrix,
  multiply,
  multiplyTransposedLeft,
  multiplyTransposedRight,
  scaleRows,
  symmetricForm,
  transpose,
  type Matrix,
} from "@transmla/low-rank";
import { metricRoots } from "../metric-roots";
import type { MeasuredInput } from "./format";
import { scaled } from "../matrices";

/** Tokens that the form is fitted to. */
const SAMPLE_TOKENS = 4096;
const ITERATIONS = 12;
/** Ridge on the form, where the channels are whitened. */
const RIDGE = 0.1;
/** Eigenvalues of the form below this part of their mean count as this: every channel stays readable. */
const FLOOR = 0.05;
/** Energies of channels below this part of their mean count as this. */
const ENERGY_FLOOR = 1e-9;

/** Channels whose length is nearly the same for every token, so that an RMS norm leaves them as they are. */
export interface ConstantLength {
  /** `T A`, `[n, inputs + 1]`: the channels given, mixed; their root mean square is about 1. */
  readonly down: Matrix;
  /** `T^-1`, `[n, n]`: what an up-projection of the channels given is multiplied by. */
  readonly unmix: Matrix;
}

/**
 * Mixes channels `z = A x` by an invertible `T` for which `|T z|^2` varies least over tokens. With `y` the whitened channels, the
 * symmetric form `G` with the least
 *
 *     E (y^T G y - 1)^2 + ridge |G - 1 / n|^2
 *
 * is found by a few steps of conjugate gradients from `1 / n`, made positive by a floor for its eigenvalues, and `T` is its root: `n (n + 1) / 2`
 * free numbers. Hidden states lie on a sphere behind their norm, so that half of their dimensions know their common length well; a
 * single channel that is as constant as a linear one can be knows it badly. Derived here.
 *
 * @param rows `A`, `[n, inputs + 1]`, without biases
 */
export async function constantLength(
  rows: Matrix,
  { moment, samples }: MeasuredInput,
): Promise<ConstantLength> {
  const n = rows.rows;
  const whitening = metricRoots(symmetricForm(rows, moment), ENERGY_FLOOR);
  const white = multiply(whitening.inverseRoot, rows);
  const weights = columnSlice(white, 0, white.columns - 1);
  const parts = (await samples(SAMPLE_TOKENS)).map((part) =>
    multiplyTransposedRight(matrix(part.length / weights.columns, weights.columns, part), weights),
  );
  const { root, inverseRoot } = flooredRoots(await fittedForm(parts, n));
  const size = Math.sqrt(n) * meanInverseLength(parts, root);
  return {
    down: scaled(multiply(root, white), size),
    unmix: scaled(multiply(whitening.root, inverseRoot), 1 / size),
  };
}

/** `G` for whitened rows. */
async function fittedForm(parts: readonly Matrix[], n: number): Promise<Matrix> {
  const tokens = parts.reduce((sum, { rows }) => sum + rows, 0);
  /** `E [w y y^T]`, a token's weight being a function of `y^T G y`. */
  const moment = (form: Matrix, weight: (square: number) => number): Float64Array => {
    const sum = new Float64Array(n * n);
    for (const part of parts) {
      const images = multiply(part, form);
      const weighted = matrix(part.rows, n);
      for (let t = 0; t < part.rows; t++) {
        let square = 0;
        for (let i = t * n; i < (t + 1) * n; i++) square += images.data[i] * part.data[i];
        const w = weight(square) / tokens;
        for (let i = t * n; i < (t + 1) * n; i++) weighted.data[i] = w * part.data[i];
      }
      const product = multiplyTransposedLeft(weighted, part).data;
      for (let i = 0; i < sum.length; i++) sum[i] += product[i];
    }
    return sum;
  };
  const start = matrix(n, n);
  for (let i = 0; i < n; i++) start.data[i * n + i] = 1 / n;
  const change = await conjugateGradients(
    (x) => {
      const image = moment(matrix(n, n, x), (square) => square);
      return image.map((value, i) => value + RIDGE * x[i]);
    },
    moment(start, (square) => 1 - square),
    { iterations: ITERATIONS },
  );
  const form = matrix(n, n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const both = (change[i * n + j] + change[j * n + i]) / 2;
      form.data[i * n + j] = start.data[i * n + j] + both;
    }
  }
  return form;
}

/** The roots of a form whose eigenvalues are raised to a part of their mean. */
function flooredRoots(form: Matrix): { readonly root: Matrix; readonly inverseRoot: Matrix } {
  const { values, vectors } = eigh(form);
  const mean = values.reduce((sum, value) => sum + Math.max(0, value), 0) / values.length;
  const rows = transpose(vectors);
  const power = (exponent: number) => {
    const spectrum = values.map((value) => Math.max(value, FLOOR * mean) ** exponent);
    return multiplyTransposedLeft(scaleRows(rows, spectrum), rows);
  };
  return { root: power(0.5), inverseRoot: power(-0.5) };
}

/** `E 1 / |T y|`: what makes the norm right on average. */
function meanInverseLength(parts: readonly Matrix[], root: Matrix): number {
  let sum = 0;
  let tokens = 0;
  for (const part of parts) {
    const mixed = multiply(part, root);
    for (let t = 0; t < part.rows; t++) {
      const row = mixed.data.subarray(t * root.rows, (t + 1) * root.rows);
      sum += 1 / Math.max(Math.hypot(...row), Number.MIN_VALUE);
    }
    tokens += part.rows;
  }
  return sum / tokens;
}
